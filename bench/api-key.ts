/** The key that the load authenticates with. */
export const API_KEY = 'cck_the-key-of-the-benchmark';
