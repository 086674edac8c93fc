/** What is used of node-media-server 4.4.3: statics and the handshake of its protocol class. */
declare module 'node-media-server/src/protocol/rtmp.js' {
  interface RtmpPacket {
    readonly header: {
      readonly fmt: 0
      readonly cid: number
      readonly timestamp: number
      readonly length: number
      readonly type: number
      readonly stream_id: number
    }
    readonly payload: Buffer
  }
  class Rtmp {
    handshakeState: number
    handshakeBytes: number
    onOutputCallback: (bytes: Buffer) => void
    parserData(bytes: Buffer): string | null
    static chunksCreate(packet: RtmpPacket): Buffer
  }
  export = Rtmp
}
