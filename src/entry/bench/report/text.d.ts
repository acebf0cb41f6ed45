/** The page's text lies beside the code that fills it in, and is part of the binary. */
declare module "*.md" {
  const text: string;
  export default text;
}
