/** The demo on a site of its own in Chromium, for the tests of one file: begun before them, without faults after each. */

import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { launch } from '../browser/browsers.js';
import { BUNDLE, open, type Opened } from './driver.js';
import { type DemoSite, startDemo } from './site.js';

export interface Demo {
  readonly faults: DemoSite['faults'];
  readonly asked: DemoSite['asked'];
  /** Return the page in a profile of its own; `kind` says how it is served, `query` is what its address ends with. */
  open(kind: 'isolated' | 'plain', query?: string, options?: BrowserContextOptions): Promise<Opened>;
}

/** Call it at the top of a file of tests. */
export function demoSite(): Demo {
  let [browser, site] = [null as Browser | null, null as DemoSite | null];
  beforeAll(async () => {
    [browser, site] = await Promise.all([launch('wasm'), startDemo(BUNDLE)]);
  });
  afterEach(async () => {
    site!.faults.clear();
    site!.asked.length = 0;
    await Promise.all(browser!.contexts().map((context) => context.close()));
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
    open: (kind, query, options) => open(browser!, site!.page(kind, query), options),
  };
}
