/** C sources are embedded as text and compiled where they are run. */
declare module "*.c" {
  const text: string;
  export default text;
}
