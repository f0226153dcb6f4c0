import { describe, expect, it } from 'vitest';
import { readAddress } from '../../src/webhooks/address.ts';

const SPECIAL = 'must not lead to a private or special address';
const PORT = 'must not have the port of another protocol than HTTPS';

describe('where webhooks may be sent', () => {
  it.each([
    ['https://hooks.example.com/chitty?a=b', 'https://hooks.example.com/chitty?a=b'],
    ['https://HOOKS.example.com', 'https://hooks.example.com/'],
    ['https://hooks.example.com.:443/', 'https://hooks.example.com./'],
    ['https://hooks.example.com:8443/x', 'https://hooks.example.com:8443/x'],
    ['https://93.184.216.34/', 'https://93.184.216.34/'],
    ['https://[2606:4700::1111]/', 'https://[2606:4700::1111]/'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    // As such names are written, but no address is.
    ['https://notlocalhost.example/', 'https://notlocalhost.example/'],
    ['https://local.example.com/', 'https://local.example.com/'],
  ])('%s', (text, url) => {
    expect(readAddress(text, false)).toEqual({ url });
  });

  it.each([
    ['an IPv4 address of this machine', 'https://127.0.0.1/'],
    ['any of them', 'https://127.8.9.10/'],
    ['in short', 'https://127.1/'],
    ['with hexadecimal digits', 'https://0x7f.1/'],
    ['with octal ones', 'https://0177.0.0.1/'],
    ['as one number', 'https://2130706433/'],
    ['as one hexadecimal number', 'https://0x7f000001/'],
    ['with a dot behind', 'https://127.0.0.1./'],
    ['with full-width digits', 'https://１２７.０.０.１/'],
    ['with its dots written otherwise', 'https://127。0。0。1/'],
    ['with its digits encoded', 'https://%31%32%37.0.0.1/'],
    ['of no machine', 'https://0.0.0.0/'],
    ['of none, in short', 'https://0/'],
    ['10/8', 'https://10.1.2.3/'],
    ['172.16/12', 'https://172.31.255.255/'],
    ['192.168/16', 'https://192.168.1.1/'],
    ['link-local, where clouds have their metadata', 'https://169.254.169.254/latest/meta-data/'],
    ['carrier-grade NAT', 'https://100.64.0.1/'],
    ['documentation', 'https://192.0.2.1/'],
    ['more documentation', 'https://203.0.113.9/'],
    ['benchmarks', 'https://198.18.0.1/'],
    ['protocol assignments', 'https://192.0.0.8/'],
    ['multicast', 'https://224.0.0.1/'],
    ['what is reserved', 'https://240.0.0.1/'],
    ['broadcast', 'https://255.255.255.255/'],
    ['IPv6 of this machine', 'https://[::1]/'],
    ['of no machine in IPv6', 'https://[::]/'],
    ['IPv4 in IPv6', 'https://[::ffff:127.0.0.1]/'],
    ['the same in hexadecimal digits', 'https://[::ffff:7f00:1]/'],
    ['IPv4 in IPv6 as it was', 'https://[::127.0.0.1]/'],
    ['NAT64', 'https://[64:ff9b::7f00:1]/'],
    ['6to4', 'https://[2002:7f00:1::]/'],
    ['Teredo', 'https://[2001:0:7f00:1::]/'],
    ['link-local IPv6', 'https://[fe80::1]/'],
    ['site-local IPv6', 'https://[fec0::1]/'],
    ['unique local IPv6', 'https://[fd12:3456::1]/'],
    ['multicast IPv6', 'https://[ff02::1]/'],
    ['documentation in IPv6', 'https://[2001:db8::1]/'],
    ['localhost', 'https://localhost/'],
    ['below localhost', 'https://a.localhost/'],
    ['localhost with a dot behind', 'https://LOCALHOST./'],
    ['a name without a dot', 'https://intranet/'],
    ['multicast DNS', 'https://printer.local/'],
    ['the metadata of a cloud', 'https://metadata.google.internal/'],
    ['a home network', 'https://router.home.arpa/'],
    ['a home router’s', 'https://nas.lan/'],
  ])('not to %s', (_what, text) => {
    expect(readAddress(text, false)).toEqual({ fault: SPECIAL });
  });

  it.each([
    ['https://hooks.example.com:25/', PORT],
    ['https://hooks.example.com:22/', PORT],
    ['https://hooks.example.com:80/', PORT],
    ['https://hooks.example.com:6379/', PORT],
    ['https://hooks.example.com:2375/', PORT],
    ['https://hooks.example.com:6000/', PORT],
    ['http://hooks.example.com/', 'must begin with https://'],
    ['ftp://hooks.example.com/', 'must begin with https://'],
    ['file:///etc/passwd', 'must begin with https://'],
    ['data:text/plain,x', 'must begin with https://'],
    ['https://me@hooks.example.com/', 'must hold no user name and no password'],
    ['https://hooks.example.com:secret@10.0.0.1/', 'must hold no user name and no password'],
    ['https://hooks.example.com/#part', 'must have no part after #'],
    ['', 'must be an https address such as https://hooks.example.com/chitty'],
    ['hooks.example.com', 'must be an https address such as https://hooks.example.com/chitty'],
    ['https://', 'must be an https address such as https://hooks.example.com/chitty'],
    ['https://256.1.1.1/', 'must be an https address such as https://hooks.example.com/chitty'],
    ['https://[::1', 'must be an https address such as https://hooks.example.com/chitty'],
    ['https://hooks.example.com:99999/', 'must be an https address such as https://hooks.example.com/chitty'],
  ])('not %s', (text, fault) => {
    expect(readAddress(text, false)).toEqual({ fault });
  });

  it.each(['http://127.0.0.1:8080/x', 'http://localhost:1234/', 'https://[::1]:6379/', 'http://127.1/'])(
    '%s where this machine is allowed, and nowhere else',
    (text) => {
      expect(readAddress(text, true)).toHaveProperty('url');
      expect(readAddress(text, false)).toHaveProperty('fault');
    },
  );

  it.each(['http://10.0.0.1/', 'http://hooks.example.com/', 'https://192.168.1.1/', 'http://user@127.0.0.1/'])(
    'and %s not even there',
    (text) => {
      expect(readAddress(text, true)).toHaveProperty('fault');
    },
  );
});
