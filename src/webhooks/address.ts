import ipaddr from 'ipaddr.js';

/**
 * Where webhooks may be sent. This looks at the address as it is written; what a name resolves to is looked at where the
 * connection is made (docs/security.md, "As somebody who has webhooks").
 */

/** Endings of names that are no public ones (RFC 6761, 6762, 8375; ICANN's `internal`; what home routers use). */
const PRIVATE_NAMES = ['localhost', 'local', 'internal', 'intranet', 'private', 'home.arpa', 'home', 'lan', 'corp'];

/** The port of TLS, and another that is used for it. All others below 1024 are of other protocols. */
const LOW_PORTS = [443];
const LOW_PORTS_END = 1024;

/** Ports of other protocols above those: WHATWG Fetch, section 2.9, then databases, queues and administration. */
const OTHER_PROTOCOLS = [
  [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
  [1433, 1521, 3306, 5432, 5984, 6379, 7000, 9042, 9200, 9300, 11211, 27017],
  [1883, 4222, 5671, 5672, 9092, 61613, 61616],
  [2181, 2375, 2376, 2379, 2380, 3389, 5900, 5985, 5986, 6443, 8200, 8300, 8500, 10250, 10255],
].flat();

const NOT_PUBLIC = 'must not lead to a private or special address';

/** Whether webhooks may go to this machine itself, without TLS: for development and tests. */
export function allowsLoopback({ WEBHOOKS_TO_LOOPBACK }: { readonly WEBHOOKS_TO_LOOPBACK?: string }): boolean {
  return WEBHOOKS_TO_LOOPBACK === 'true';
}

/**
 * Reads an address that events are to be sent to.
 *
 * @param withLoopback whether this machine itself is one
 * @returns the address as it is used, or what is wrong with the one given
 */
export function readAddress(
  text: string,
  withLoopback: boolean,
): { readonly url: string } | { readonly fault: string } {
  // Numbers, dots and brackets are in their usual form after this, however they were written: 0x7f.1 is 127.0.0.1.
  const url = URL.parse(text);
  if (url === null) return { fault: 'must be an https address such as https://hooks.example.com/chitty' };
  const isLocal = withLoopback && isLoopback(url.hostname);
  if (url.protocol !== 'https:' && !(isLocal && url.protocol === 'http:')) return { fault: 'must begin with https://' };
  if (url.username !== '' || url.password !== '') return { fault: 'must hold no user name and no password' };
  if (url.hash !== '') return { fault: 'must have no part after #' };
  if (isLocal) return { url: url.href };
  const fault = faultOfHost(url.hostname) ?? faultOfPort(url.port);
  return fault === null ? { url: url.href } : { fault };
}

function faultOfHost(hostname: string): string | null {
  const bare = hostname.replace(/^\[|\]$/g, '');
  if (ipaddr.isValid(bare)) return isPublic(ipaddr.parse(bare)) ? null : NOT_PUBLIC;
  const name = hostname.replace(/\.$/, '').toLowerCase();
  const isPrivate = PRIVATE_NAMES.some((ending) => name === ending || name.endsWith(`.${ending}`));
  return isPrivate || !name.includes('.') ? NOT_PUBLIC : null;
}

/** Whether an address is a public one of one machine: no IPv4 inside of IPv6, no tunnel, no documentation. */
function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== 'unicast') return false;
  // All of IPv6 that is given out (RFC 4291, section 2.4); what is outside is old forms of IPv4, and to come.
  return address instanceof ipaddr.IPv4 || address.match(ipaddr.IPv6.parseCIDR('2000::/3'));
}

function faultOfPort(port: string): string | null {
  if (port === '') return null;
  const number = Number(port);
  const isFine = number < LOW_PORTS_END ? LOW_PORTS.includes(number) : !OTHER_PROTOCOLS.includes(number);
  return isFine ? null : 'must not have the port of another protocol than HTTPS';
}

function isLoopback(hostname: string): boolean {
  if (hostname === 'localhost') return true;
  const bare = hostname.replace(/^\[|\]$/g, '');
  return ipaddr.isValid(bare) && ipaddr.parse(bare).range() === 'loopback';
}
