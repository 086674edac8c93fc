/** For waits on what does come: a bound on hanging, never on speed. */
export const PATIENT = { timeout: 60_000, interval: 20 } as const
