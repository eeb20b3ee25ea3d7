/** The bundle of these tests, loaded in a page. */

import type { PackagePage, PackageWindow } from './browsers.js';
import { readCases } from './cases.js';

/** Load the bundle in the page and return what it says, or the code and text of its error. */
export function loaded(page: PackagePage, options: Record<string, unknown> = {}, bundle = readCases()[0]!.bundle) {
  return page.evaluate(
    async ({ bundle, options }) => {
      const { Sam, SamError } = globalThis as unknown as PackageWindow;
      try {
        const sam = await Sam.load(`./bundles/${bundle}`, options);
        sam.dispose();
        return { selfTest: sam.info.selfTest, refusals: sam.info.refusals };
      } catch (thrown) {
        return thrown instanceof SamError
          ? { code: thrown.code, message: thrown.message }
          : { message: String(thrown) };
      }
    },
    { bundle, options },
  );
}
