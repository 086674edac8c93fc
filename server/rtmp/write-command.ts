import { AUDIO_FOUR_CC, VIDEO_FOUR_CC } from '../formats/flv/four-cc.ts'
import { type AmfOut, writeAmf0, writeAmf0Array } from '../formats/flv/amf0.ts'
import { writeMessage } from './chunk-writer.ts'
import { MESSAGE } from './messages.ts'

/** FourCcInfoMask: this server neither decodes nor encodes what passes through it. */
const CAN_FORWARD = 4
/** CapsExMask: several tracks and extended packets. It asks nobody to reconnect and keeps times to the millisecond. */
const CAPS_EX = 0x02 | 0x04

const infoMap = (fourCcs: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.values(fourCcs).map((fourCc) => [fourCc, CAN_FORWARD]))

/** The answer to `connect` (RTMP 1.0 §7.2.1.1; Enhanced RTMP v2, Enhancing NetConnection connect Command). Only AMF0 is spoken here, whatever the peer asked for. */
export function writeConnectResult(transaction: number): Buffer {
  const properties = {
    fmsVer: 'FMS/3,5,7,7009',
    capabilities: 31,
    mode: 1,
    fourCcList: [...Object.values(VIDEO_FOUR_CC), ...Object.values(AUDIO_FOUR_CC)],
    videoFourCcInfoMap: infoMap(VIDEO_FOUR_CC),
    audioFourCcInfoMap: infoMap(AUDIO_FOUR_CC),
    capsEx: CAPS_EX,
  }
  const information = {
    level: 'status',
    code: 'NetConnection.Connect.Success',
    description: 'Connection succeeded.',
    objectEncoding: 0,
  }
  return writeCommand(0, '_result', transaction, properties, information)
}

/** `_result` with one value: the id for createStream, seconds for getStreamLength, null for what needs no answer. */
export function writeResult(transaction: number, value: number | null): Buffer {
  return writeCommand(0, '_result', transaction, null, value)
}

/** onStatus (RTMP 1.0 §7.2.2). ffmpeg ends on every `error`; OBS and librtmp read the code. */
export function writeStatus(
  streamId: number,
  level: 'status' | 'error',
  code: `NetStream.${string}`,
  description: string,
): Buffer {
  return writeCommand(streamId, 'onStatus', 0, null, { level, code, description })
}

export function writeCommand(
  streamId: number,
  name: string,
  transaction: number,
  ...values: readonly AmfOut[]
): Buffer {
  return writeMessage(MESSAGE.commandAmf0, streamId, 0, writeAmf0(name, transaction, ...values))
}

/** Flash players show pictures and sound only where this allows reading them. */
export function writeSampleAccess(streamId: number): Buffer {
  return writeMessage(MESSAGE.dataAmf0, streamId, 0, writeAmf0('|RtmpSampleAccess', true, true))
}

type Metadata = Readonly<Record<string, string | number | boolean>>

export function writeMetadata(streamId: number, metadata: Metadata): Buffer {
  const payload = Buffer.concat([writeAmf0('onMetaData'), writeAmf0Array(metadata)])
  return writeMessage(MESSAGE.dataAmf0, streamId, 0, payload)
}

/** Metadata as a publisher sends it: servers that keep it for later players want it so. */
export function writeSetDataFrame(streamId: number, metadata: Metadata): Buffer {
  const name = writeAmf0('@setDataFrame', 'onMetaData')
  const payload = Buffer.concat([name, writeAmf0Array(metadata)])
  return writeMessage(MESSAGE.dataAmf0, streamId, 0, payload)
}
