/** Files of a node without a disk: gone with its process. */
import type { DiskFile } from "../runtime.ts";
import type { Files } from "./store.ts";

class MemoryFile {
  #bytes = new Uint8Array(0);
  length = 0;

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.byteLength;
    if (end > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.byteLength * 1.5));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, offset);
    this.length = Math.max(this.length, end);
  }

  read(offset: number, length: number): Uint8Array {
    return this.#bytes.slice(offset, Math.min(offset + length, this.length));
  }
}

export function memoryFiles(): Files {
  const files = new Map<string, MemoryFile>();
  const find = (name: string): MemoryFile => {
    const file = files.get(name);
    if (file === undefined) throw new Error(`no such file: ${name}`);
    return file;
  };
  const later = (done: (error: Error | null) => void) => queueMicrotask(() => done(null));
  return {
    list: () => Promise.resolve([...files.keys()]),
    read: (name, offset, length) => Promise.resolve(find(name).read(offset, length)),
    size: (name) => Promise.resolve(find(name).length),
    preallocate: (name) => {
      files.set(name, new MemoryFile());
      return Promise.resolve();
    },
    open: (name): Promise<DiskFile> => {
      const file = find(name);
      const write: DiskFile["write"] = (offset, bytes, done) => {
        file.write(offset, bytes);
        later(done);
      };
      return Promise.resolve({
        write,
        commit: write,
        sync: later,
        read: (offset, length) => Promise.resolve(file.read(offset, length)),
        close: () => Promise.resolve(),
      });
    },
    remove: (name) => {
      files.delete(name);
      return Promise.resolve();
    },
    rename: (name, other) => {
      files.set(other, find(name));
      files.delete(name);
      return Promise.resolve();
    },
  };
}
