import { networkInterfaces } from 'node:os';

/**
 * What workerd takes for public and is no place to send webhooks to: the IANA special-purpose address registries
 * (RFC 6890), multicast, and ways from IPv6 into IPv4.
 */
const SPECIAL = [
  ['0.0.0.0/8', '100.64.0.0/10', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15'],
  ['198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  ['::/96', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'],
  ['5f00::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
].flat();

/**
 * The way out for webhooks. workerd looks at the address that a name has led to, when it connects, and refuses all but
 * public ones, and this machine's own: so no name can be made to lead into this network, whenever it is changed.
 *
 * @param variables those of the Worker
 */
export function webhookEgress({ WEBHOOKS_TO_LOOPBACK }: Readonly<Record<string, string>>) {
  const allow = ['public', ...(WEBHOOKS_TO_LOOPBACK === 'true' ? ['local'] : [])];
  return { network: { allow, deny: [...SPECIAL, ...ownAddresses()], tlsOptions: { trustBrowserCas: true } } };
}

/** The addresses by which others reach this machine, as it has them when it starts. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return all
    .filter(({ internal }) => !internal)
    .map(({ address, family }) => `${address.replace(/%.*/, '')}/${family === 'IPv4' ? 32 : 128}`);
}
