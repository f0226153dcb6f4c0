import type { Env } from '../env.ts';

/** Groups of an IPv6 address that name the network of a household or an office. */
const IPV6_NETWORK_GROUPS = 3;

const IPV4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/;

/** Hexadecimal groups, at least two colons. */
const IPV6 = /^[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*$/i;

/** Characters of the longest IPv6 address. */
const ADDRESS_MAX = 45;

/**
 * The caller's address, from the one header that whoever stands in front of the Worker is known to overwrite
 * (CLIENT_ADDRESS_HEADER). Where there is none, anybody could write anything into it, so it is not looked at.
 */
export function callerAddress(request: Request, env: Env): string | undefined {
  if (!env.CLIENT_ADDRESS_HEADER) return undefined;
  const address = request.headers.get(env.CLIENT_ADDRESS_HEADER)?.trim();
  if (address === undefined || address.length > ADDRESS_MAX) return undefined;
  return IPV4.test(address) || IPV6.test(address) ? address.toLowerCase() : undefined;
}

/** The network of an address, which tells where a request came from without telling which machine sent it. */
export function networkOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  const [, ipv4] = IPV4.exec(address) ?? [];
  if (ipv4 !== undefined) return `${ipv4}.0/24`;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0');
  const network = [...before, ...(tail === undefined ? [] : zeros), ...after].slice(0, IPV6_NETWORK_GROUPS);
  return `${network.join(':')}::/48`;
}
