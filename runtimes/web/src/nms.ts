/** Non-maximum suppression of boxes, as torchvision's `nms` does it. */

type Corners = readonly [x0: number, y0: number, x1: number, y1: number];

/**
 * Return the indices of the boxes that stay, the best first; equal scores keep their order.
 *
 * A box goes if its IoU with a better one that stays is above the threshold. Boxes without area stay.
 */
export function keptBoxes(boxes: readonly Corners[], scores: readonly number[], iouThreshold: number): number[] {
  const order = boxes.map((_, index) => index).sort((one, other) => scores[other]! - scores[one]!);
  const kept: number[] = [];
  for (const index of order) {
    if (kept.every((better) => !(boxIou(boxes[better]!, boxes[index]!) > iouThreshold))) kept.push(index);
  }
  return kept;
}

function boxIou(one: Corners, other: Corners): number {
  const width = Math.max(Math.min(one[2], other[2]) - Math.max(one[0], other[0]), 0);
  const height = Math.max(Math.min(one[3], other[3]) - Math.max(one[1], other[1]), 0);
  const overlap = width * height;
  const union = area(one) + area(other) - overlap;
  return union > 0 ? overlap / union : 0;
}

function area([x0, y0, x1, y1]: Corners): number {
  return (x1 - x0) * (y1 - y0);
}
