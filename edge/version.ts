/** The version of everything here; a test holds it to package.json's and deno.json's. */
export const version: string = "0.1.0";
