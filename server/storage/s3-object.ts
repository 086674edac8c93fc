import type { GetObjectCommandOutput, HeadObjectCommandOutput } from '@aws-sdk/client-s3'
import type { ObjectInfo, ReadRange } from './object-store.ts'

/** A service's etag without its quotes; weak ones come from what stands in front of it and changes bodies on the way. */
export function etagFrom(etag: string | undefined): Pick<ObjectInfo, 'etag' | 'weak'> {
  const [, weak, opaque = etag ?? ''] = /^(W\/)?"(.*)"$/.exec(etag ?? '') ?? []
  return weak === undefined ? { etag: opaque } : { etag: opaque, weak: true }
}

/** The value of a Range field (RFC 9110 §14.2). */
export function rangeField(range: ReadRange | undefined): string | undefined {
  if (range === undefined) return undefined
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ''}`
}

/** First byte, length and the object's whole size, from Content-Range or its absence; undefined when they do not fit together. */
export function placeOf(
  contentRange: string | undefined,
  contentLength: number | undefined,
): { readonly start: number; readonly length: number; readonly size: number } | undefined {
  if (contentLength === undefined || !Number.isSafeInteger(contentLength) || contentLength < 0)
    return undefined
  if (contentRange === undefined) return { start: 0, length: contentLength, size: contentLength }
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(contentRange)
  if (!match) return undefined
  const [start, end, size] = [Number(match[1]), Number(match[2]), Number(match[3])]
  const fits = start <= end && end < size && end - start + 1 === contentLength
  return fits ? { start, length: contentLength, size } : undefined
}

export function infoFrom(
  key: string,
  size: number,
  answer: HeadObjectCommandOutput | GetObjectCommandOutput,
): ObjectInfo {
  // What S3 says when nobody ever said a type; the name tells more.
  const said = answer.ContentType === 'binary/octet-stream' ? undefined : answer.ContentType
  return {
    key,
    size,
    ...etagFrom(answer.ETag),
    lastModified: answer.LastModified?.getTime() ?? 0,
    contentType: said,
    headers: storedFields(answer),
  }
}

function storedFields(
  answer: HeadObjectCommandOutput | GetObjectCommandOutput,
): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {}
  const known = {
    'cache-control': answer.CacheControl,
    'content-disposition': answer.ContentDisposition,
    'content-encoding': answer.ContentEncoding,
    'content-language': answer.ContentLanguage,
    expires: answer.ExpiresString,
  }
  for (const [name, value] of Object.entries(known)) if (value) fields[name] = value
  for (const [name, value] of Object.entries(answer.Metadata ?? {}))
    fields[`x-amz-meta-${name.toLowerCase()}`] = value
  return fields
}

/** A key as a listing with `EncodingType: url` gives it; services write a space as `+` or `%20`. */
export function decodeListed(key: string, encoded: boolean): string {
  if (!encoded) return key
  try {
    return decodeURIComponent(key.replaceAll('+', ' '))
  } catch {
    return key
  }
}
