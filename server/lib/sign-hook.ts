import { createHmac } from 'node:crypto'

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 with the secret of both sides over `SECONDS.BODY`. */
export function signHook(secret: string, seconds: number, body: string): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${mac}`
}
