/** A ChittyID: VV-G-LLL-SSSS-T-YYMM-C-XX. */
const CHITTY_ID = /^\d{2}-[0-9A-Z]-[A-Z]{3}-\d{4}-[PLTEA]-\d{4}-[0-5]-(\d{1,2})$/;

/** The check number is 98 minus the rest of a division by this. */
const MODULUS = 97n;

/**
 * Tells whether a text has the form of a ChittyID and the check number that its other fields give. Only the authority
 * knows whether it was minted.
 */
export function isChittyId(text: string): boolean {
  const check = CHITTY_ID.exec(text)?.[1];
  if (check === undefined) return false;
  const fields = text.slice(0, text.lastIndexOf('-')).replaceAll('-', '');
  // Letters count 10 to 35, as in base 36.
  const digits = fields.replace(/[A-Z]/g, (letter) => String(Number.parseInt(letter, 36)));
  return BigInt(check) === 98n - (BigInt(digits) % MODULUS);
}
