/** The package on a site of its own in a browser, for the tests of one file: begun before them, forgotten after each. */

import { afterAll, afterEach, beforeAll } from 'vitest';
import { type PackageBrowser, type PackagePage, startBrowser } from './browsers.js';
import { FOLDER } from './cases.js';
import { type Site, startSite } from './site.js';

export const ENCODER = 'image_encoder.onnx';

export interface PackageSite {
  readonly faults: Site['faults'];
  readonly asked: Site['asked'];
  forget(): void;
  /** Return the package's page in a profile of its own. */
  open(kind: 'isolated' | 'plain'): Promise<PackagePage>;
  /** Return the paths of graphs that were asked for. */
  graphsAsked(): string[];
}

/** Call it at the top of a file of tests. */
export function packageSite(kind: 'wasm' | 'webgpu' = 'wasm'): PackageSite {
  let [browser, site] = [null as PackageBrowser | null, null as Site | null];
  beforeAll(async () => {
    [browser, site] = await Promise.all([startBrowser(kind), startSite(FOLDER)]);
  });
  afterEach(async () => {
    site!.forget();
    await browser!.closePages();
  });
  afterAll(async () => {
    await browser!.close();
    await site!.close();
  });
  return {
    get faults() {
      return site!.faults;
    },
    get asked() {
      return site!.asked;
    },
    forget: () => {
      site!.forget();
    },
    open: (kind) => browser!.open(site!.page(kind)),
    graphsAsked: () => site!.asked.filter((path) => path.endsWith('.onnx')),
  };
}
