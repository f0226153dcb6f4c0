/** The services, by the first label of their host and the first segment of their path. */
export const SERVICE_NAMES = ['id', 'auth', 'registry', 'dna', 'verify', 'certify', 'chronicle'] as const;

/** One of the services. */
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** Tells whether a text names a service. */
export function isServiceName(text: string): text is ServiceName {
  return SERVICE_NAMES.some((name) => name === text);
}
