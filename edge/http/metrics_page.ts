/** A page in the Prometheus text format: every metric's samples stand together behind its help. */
import type { HistogramView } from "./histogram.ts";

export type Labels = Readonly<Record<string, string | number>>;

export class Page {
  readonly #lines: string[] = [];

  gauge(name: string, help: string, samples: Iterable<readonly [Labels, number]>): void {
    this.#family(name, help, "gauge", samples);
  }

  counter(name: string, help: string, samples: Iterable<readonly [Labels, number]>): void {
    this.#family(name, help, "counter", samples);
  }

  histogram(name: string, help: string, samples: Iterable<readonly [Labels, HistogramView]>): void {
    this.#head(name, help, "histogram");
    for (const [labels, { bounds, counts, sum }] of samples) {
      let total = 0;
      bounds.forEach((bound, index) => {
        total += counts[index]!;
        this.#sample(`${name}_bucket`, { ...labels, le: bound }, total);
      });
      total += counts[bounds.length]!;
      this.#sample(`${name}_bucket`, { ...labels, le: "+Inf" }, total);
      this.#sample(`${name}_sum`, labels, sum);
      this.#sample(`${name}_count`, labels, total);
    }
  }

  toString(): string {
    return this.#lines.join("\n") + "\n";
  }

  #family(name: string, help: string, type: string, samples: Iterable<readonly [Labels, number]>): void {
    let headed = false;
    for (const [labels, value] of samples) {
      if (!headed) this.#head(name, help, type);
      headed = true;
      this.#sample(name, labels, value);
    }
  }

  #head(name: string, help: string, type: string): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  #sample(name: string, labels: Labels, value: number): void {
    const list = Object.entries(labels).map(([label, text]) => `${label}="${escape(String(text))}"`).join(",");
    this.#lines.push(`${name}${list === "" ? "" : `{${list}}`} ${value}`);
  }
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** A sample without labels, if it is known. */
export function some(value: number | undefined): (readonly [Labels, number])[] {
  return value === undefined ? [] : [[{}, value]];
}
