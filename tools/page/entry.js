// What the page of a report takes from d3. tools/page-library bundles it.
export { max, median } from "d3-array";
export { axisBottom } from "d3-axis";
export { scaleTime } from "d3-scale";
export { select } from "d3-selection";
export { zoom, zoomIdentity } from "d3-zoom";
