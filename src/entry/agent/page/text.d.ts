/** The page's style and scripts are embedded as text. */
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*/parts.js" {
  const text: string;
  export default text;
}
declare module "*/map.js" {
  const text: string;
  export default text;
}
declare module "*/page.js" {
  const text: string;
  export default text;
}
