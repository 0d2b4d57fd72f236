// Reads objects of the Prometheus operator as JSON and checks each by the model of its kind; what is
// wrong goes to standard error. The models are npm packages below $MODELS.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const models = `${process.env.MODELS}/node_modules/@kubernetes-models/prometheus-operator`;

let wrong = 0;
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const path = `${models}/${object.apiVersion}/${object.kind}.js`;
  const { [object.kind]: Model } = await import(pathToFileURL(path));
  try {
    new Model(object).validate();
  } catch (error) {
    console.error(`${object.kind} ${object.metadata.name}: ${error.message}`);
    wrong += 1;
  }
}
process.exitCode = wrong ? 1 : 0;
