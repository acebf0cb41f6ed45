/** The launchers imported with `{ type: "file" }`: their paths, on disk or inside the compiled binary. */
declare module "*/launcher-amd64" {
  const path: string;
  export default path;
}
declare module "*/launcher-arm64" {
  const path: string;
  export default path;
}
