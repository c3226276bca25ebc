/**
 * `npm run build`: the single binary (Bun), the command as one file for Node, and the library as one file for Node.
 * Run by Bun, whose bundler it calls; nothing here is in what it makes.
 *
 *     bun edge/build.ts [--out DIR] [--only binary|command|library] [--target bun-linux-arm64]
 */
import {
  commandArguments,
  executable,
  exit,
  fileBytes,
  joinPath,
  makeDirectory,
  readTextNow,
  runProgram,
  writeText,
} from "./runtime/system.ts";
import { version } from "./version.ts";

interface Product {
  readonly name: "binary" | "command" | "library";
  readonly file: string;
  readonly flags: readonly string[];
  /** The first line of a program that a shell may start. */
  readonly shebang?: string;
}

const root = new URL("..", import.meta.url).pathname;

function products(target: string | undefined): Product[] {
  return [
    {
      name: "binary",
      file: "carillon",
      flags: [
        "edge/main.ts",
        "--compile",
        "--minify",
        // A third of the start-up time; its default format would not take the top-level await.
        "--bytecode",
        "--format=esm",
        // Otherwise a stray .env or bunfig.toml where the binary is started would be executed.
        "--no-compile-autoload-dotenv",
        "--no-compile-autoload-bunfig",
        ...(target === undefined ? [] : [`--target=${target}`]),
      ],
    },
    { name: "command", file: "carillon.mjs", flags: ["edge/main.ts", ...forNode], shebang: "#!/usr/bin/env node" },
    { name: "library", file: "mod.mjs", flags: ["mod.ts", ...forNode] },
  ];
}

const forNode = ["--target=node", "--conditions=node", "--format=esm", "--minify-syntax", "--minify-whitespace"];

async function build(product: Product, directory: string): Promise<void> {
  const started = performance.now();
  const file = joinPath(directory, product.file);
  const [entry, ...flags] = product.flags;
  const code = await runProgram(executable, ["build", entry!, ...flags, `--outfile=${file}`], root);
  if (code !== 0) throw new Error(`Cannot build the ${product.name}: the bundler ended with ${code}`);
  if (product.shebang !== undefined) {
    const text = readTextNow(file).replace(/^#!.*\n/, "");
    await writeText(file, `${product.shebang}\n${text}`, 0o755);
  }
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(`${product.name.padEnd(8)} ${megabytes(await fileBytes(file)).padStart(9)}  ${seconds} s  ${file}`);
}

function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function option(name: string): string | undefined {
  const argv = commandArguments();
  const at = argv.indexOf(`--${name}`);
  if (at < 0) return argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3);
  return argv[at + 1];
}

const only = option("only");
const wanted = products(option("target")).filter((product) => only === undefined || product.name === only);
if (wanted.length === 0) {
  console.error(`Cannot build "${only}": it is binary, command or library`);
  exit(2);
}
const directory = option("out") ?? joinPath(root, "dist");
await makeDirectory(directory);
console.log(`building carillon ${version}`);
for (const product of wanted) await build(product, directory);
