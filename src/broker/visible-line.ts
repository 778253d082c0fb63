/**
 * What may look like something else or like nothing: control, formatting (bidirectional, zero-width),
 * surrogate and line-separating characters, all that is drawn as nothing (fillers, joiners, variation
 * selectors), private use, and what Unicode has not assigned.
 */
const DECEIVING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}]/u;

/** Something to see. U+2800 and U+1D159 are symbols by class and blank by shape. */
const VISIBLE = /(?![\u{2800}\u{1d159}])[\p{L}\p{N}\p{P}\p{S}]/u;

/** True for one line of text that looks the same to everyone who reads it later, and not blank. */
export function isVisibleLine(text: string): boolean {
  return VISIBLE.test(text) && !DECEIVING.test(text);
}
