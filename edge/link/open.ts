/** A link with the driver that is asked for. */
import { openAutoLink } from "./auto.ts";
import { openHttp2Link } from "./http2.ts";
import type { Link, LinkEvents, LinkOptions } from "./link.ts";
import { openUdpLink } from "./udp/driver.ts";

/** `auto`: UDP where it works, else HTTP/2, for each peer. */
export type LinkDriver = "auto" | "udp" | "h2";

/** Listens; peers are added with `open`. Throws what binding throws. */
export function openLink(driver: LinkDriver, options: LinkOptions, events: LinkEvents): Promise<Link> {
  switch (driver) {
    case "auto":
      return openAutoLink(options, events);
    case "udp":
      return openUdpLink(options, events);
    case "h2":
      return openHttp2Link(options, events);
  }
}
