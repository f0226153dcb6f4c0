import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files under a folder that hold one of the texts, in UTF-8 or UTF-16, also in small letters; with the texts. */
export function filesWith(root: string, texts: readonly string[]): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const name = join(entry.parentPath, entry.name);
      const bytes = readFileSync(name);
      const forms = (text: string) =>
        [text, text.toLowerCase()].flatMap((form) => [form, Buffer.from(form, 'utf16le')]);
      const found = texts.filter((text) => forms(text).some((form) => bytes.includes(form)));
      return found.length === 0 ? [] : [`${name}: ${found.join(' ')}`];
    });
}
