/** COCO instances of one picture, as sam-export's Python side writes them: run lengths, ids from 1. */

import type { CocoRle } from 'sam-export-web';
import type { Answer } from './answers.js';

export interface ExportedObject {
  readonly name: string;
  readonly answer: Answer;
  readonly points: readonly (readonly [number, number])[];
}

export interface ExportedPicture {
  readonly name: string;
  readonly width: number;
  readonly height: number;
}

interface CocoAnnotation {
  readonly id: number;
  readonly image_id: number;
  readonly category_id: number;
  readonly segmentation: CocoRle;
  /** x, y, width, height; all of the mask inside. */
  readonly bbox: readonly [number, number, number, number];
  readonly area: number;
  readonly iscrowd: 0;
  readonly score: number;
  readonly predicted_iou: number;
  readonly point_coords: readonly (readonly [number, number])[];
  /** What the person called it. */
  readonly name: string;
}

export interface CocoDocument {
  readonly images: readonly { id: number; file_name: string; height: number; width: number }[];
  readonly annotations: readonly CocoAnnotation[];
  readonly categories: readonly { id: number; name: string }[];
}

export function cocoDocument(picture: ExportedPicture, objects: readonly ExportedObject[]): CocoDocument {
  const { name, width, height } = picture;
  return {
    images: [{ id: 1, file_name: name, height, width }],
    annotations: objects.map((object, index) => annotation(object, index + 1)),
    categories: [{ id: 1, name: 'object' }],
  };
}

function annotation({ name, answer, points }: ExportedObject, id: number): CocoAnnotation {
  const [x0, y0, x1, y1] = answer.box;
  return {
    id,
    image_id: 1,
    category_id: 1,
    segmentation: answer.rle,
    bbox: [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
    area: answer.area,
    iscrowd: 0,
    score: answer.iouPrediction,
    predicted_iou: answer.iouPrediction,
    point_coords: points,
    name,
  };
}
