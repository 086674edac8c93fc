/** How many inputs each fuzz test makes up; `npm run fuzz` sets more. */
// oxlint-disable-next-line node/no-process-env -- the one knob that the test runner passes in
export const FUZZ_RUNS = Number(process.env['FUZZ_RUNS'] ?? 300)
