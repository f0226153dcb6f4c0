/** Who acts when an object does something by itself. */
export const SYSTEM_ACTOR = 'act_system';
