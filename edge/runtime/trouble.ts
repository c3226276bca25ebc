/** What a system's error code means, in words. */

const troubles: Readonly<Record<string, string>> = {
  EACCES: "this user may not",
  EPERM: "this user may not",
  EEXIST: "there is a file of that name, not a directory",
  ENOTDIR: "a part of the path is a file, not a directory",
  EISDIR: "it is a directory, not a file",
  ENOENT: "no such file or directory",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
};

/** Half a sentence: "Cannot …: " goes before it. */
export function troubleOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return troubles[code ?? ""] ?? message ?? String(error);
}

/** There is no room, which may change; anything else that is wrong with a disk is not waited for. */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes((error as { readonly code?: string } | null)?.code ?? "");
}

export function fullDisk(message: string): Error {
  return Object.assign(new Error(message), { code: "ENOSPC" });
}
