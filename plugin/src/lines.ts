// Cuts a byte stream into lines.

export const MAX_LINE = 8 * 1024 * 1024;

export class LineReader {
  private chunks: Buffer[] = [];
  private size = 0;

  /** The whole lines that `chunk` completes, without their newlines. Throws once a line exceeds MAX_LINE: its end cannot be found. */
  append(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      const piece = chunk.subarray(start, end < 0 ? undefined : end);
      if (this.size + piece.length > MAX_LINE) throw new Error(`a line exceeds ${MAX_LINE} bytes`);
      this.chunks.push(piece);
      this.size += piece.length;
      if (end < 0) return lines;
      lines.push(Buffer.concat(this.chunks, this.size).toString('utf8'));
      this.chunks = [];
      this.size = 0;
      start = end + 1;
    }
  }
}
