/** How long something is ago at a moment (both RFC 3339), in words: `45 s`, `12 min`, `3 h`, `2 d`. */
export function ageAt(moment: string, at: string): string {
  const seconds = Math.max(0, Math.round((Date.parse(moment) - Date.parse(at)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
