/** The public names of the package. */

export { SamError, type SamErrorCode } from './errors.js';
