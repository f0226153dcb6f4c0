/** A text folded for comparison, with the place in the original that each of its code units came from. */
export interface FoldedText {
  readonly text: string;
  /** For each code unit of `text`: where its part of the original begins, in code units. */
  readonly starts: readonly number[];
  /** For each code unit of `text`: where its part of the original ends, in code units, exclusive. */
  readonly ends: readonly number[];
}

/** White space, or a character with all that is written on it: the parts of a text that fold independently. */
const PART = /[\p{White_Space}\p{Cc}]+|[^\p{White_Space}\p{Cc}][\p{M}\p{Cf}\u1160-\u11ff]*/gu;

/** A text of ASCII alone. */
const ASCII = /^\p{ASCII}*$/u;

/** White space and control characters. */
const BLANKS = /[\p{White_Space}\p{Cc}]+/gu;

/**
 * What is dropped: combining diacritical marks, Hebrew and Arabic vowel signs, variation selectors and invisible format
 * characters. Not every mark: the vowels of Indic scripts and the voicing of kana make other letters, not accents.
 */
const DROPPED =
  /\p{Cf}|[\u0300-\u036f]|[\u0591-\u05c7]|[\u064b-\u065f]|\u0670|[\u1ab0-\u1aff]|[\u1dc0-\u1dff]|[\u20d0-\u20ff]|[\ufe00-\ufe0f]|[\ufe20-\ufe2f]|[\u{e0100}-\u{e01ef}]/gu;

/** Letters that Unicode does not decompose although people type them without their stroke, and typographic signs. */
const REPLACED = new Map([
  ['ß', 'ss'],
  ['ς', 'σ'],
  ['ø', 'o'],
  ['ł', 'l'],
  ['đ', 'd'],
  ['ð', 'd'],
  ['ħ', 'h'],
  ['ŧ', 't'],
  ['æ', 'ae'],
  ['œ', 'oe'],
  ['þ', 'th'],
  ['‘', "'"],
  ['’', "'"],
  ['“', '"'],
  ['”', '"'],
  ['‐', '-'],
  ['‑', '-'],
  ['–', '-'],
  ['—', '-'],
]);

const REPLACEABLE = new RegExp(`[${[...REPLACED.keys()].join('')}]`, 'gu');

/**
 * Folds a text so that two texts a person takes for the same are the same: compatibility forms, case and accents are
 * folded, runs of white space become one space, the ends are trimmed.
 */
export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase().replace(BLANKS, ' ').trim();
  return foldWithPlaces(text).text;
}

/** Like `fold`, and tells where everything came from. */
export function foldWithPlaces(text: string): FoldedText {
  let folded = '';
  const starts: number[] = [];
  const ends: number[] = [];
  for (const { 0: part, index } of text.matchAll(PART)) {
    for (const character of foldPart(part)) {
      if (character === ' ' && (folded === '' || folded.endsWith(' '))) continue;
      folded += character;
      for (let unit = 0; unit < character.length; unit++) {
        starts.push(index);
        ends.push(index + part.length);
      }
    }
  }
  const length = folded.trimEnd().length;
  return { text: folded.slice(0, length), starts: starts.slice(0, length), ends: ends.slice(0, length) };
}

function foldPart(part: string): string {
  return (
    part
      .normalize('NFKD')
      // Up and down again: full case folding, as for ß and the two lower-case sigmas.
      .toUpperCase()
      .toLowerCase()
      .replace(DROPPED, '')
      .replace(REPLACEABLE, (letter) => REPLACED.get(letter) ?? letter)
      .replace(BLANKS, ' ')
      // Puts kana and their voicing, and the letters of a Hangul syllable, together again.
      .normalize('NFC')
  );
}
