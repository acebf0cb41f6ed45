/** Texts of the elements that match, without markup. */
export function textOf(dom: string, selector: string): string {
  const found: string[] = [];
  const collect = { text: ({ text }: { text: string }) => void found.push(text) };
  new HTMLRewriter().on(selector, collect).transform(dom);
  return found.join("").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

export function count(dom: string, selector: string): number {
  let found = 0;
  const element = () => {
    found += 1;
  };
  new HTMLRewriter().on(selector, { element }).transform(dom);
  return found;
}
