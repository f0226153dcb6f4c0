const encoder = new TextEncoder();

/** Whether two texts are the same, in a time that depends on nothing but their lengths. */
export function equalInConstantTime(a: string, b: string): boolean {
  const [left, right] = [encoder.encode(a), encoder.encode(b)];
  return left.byteLength === right.byteLength && crypto.subtle.timingSafeEqual(left, right);
}
