// grafana.mjs FOLDER DASHBOARD: whether the dashboard is what Grafana's own schema says, in types and names.
//
// The schema is published as TypeScript. The dashboard becomes constants of its types, the options and
// fields of each panel those of that panel's, and the compiler judges; FOLDER has both installed.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PANELS = { stat: "Stat", timeseries: "TimeSeries" };
// Panels whose fields have no options of their own.
const PLAIN = ["stat"];

const [folder, file] = process.argv.slice(2);

function typed(dashboard) {
  const lines = ["import type { Dashboard } from '@grafana/schema';"];
  for (const [kind, name] of Object.entries(PANELS)) {
    lines.push(`import type * as ${name} from '@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${name}PanelCfg_types.gen';`);
  }
  // In JSON a word of an enum is a string, and what is left out has its default.
  lines.push("type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]?: Plain<T[K]> } : T;");
  const constant = (type, value) => lines.push(`export const c${lines.length}: ${type} = ${JSON.stringify(value)};`);
  constant("Dashboard", dashboard);
  for (const panel of dashboard.panels) {
    const name = PANELS[panel.type];
    if (!name) throw new Error(`a panel of the type ${panel.type}: name its types here`);
    constant(`Plain<${name}.Options>`, panel.options);
    const custom = panel.fieldConfig.defaults.custom;
    if (custom && PLAIN.includes(panel.type)) throw new Error(`${panel.title}: fields of ${panel.type} have no options`);
    if (custom) constant(`Plain<${name}.FieldConfig>`, custom);
  }
  return lines.join("\n") + "\n";
}

// What the compiler complains of; nothing is good.
function judged(dashboard) {
  const own = mkdtempSync(join(folder, "judged-"));
  try {
    const source = join(own, "dashboard.ts");
    writeFileSync(source, typed(dashboard));
    const how = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"];
    execFileSync(join(folder, "node_modules/.bin/tsc"), [...how, source], { encoding: "utf8" });
    return "";
  } catch (error) {
    return error.stdout || `${error}`;
  } finally {
    rmSync(own, { recursive: true });
  }
}

const read = () => JSON.parse(readFileSync(file, "utf8"));
const said = judged(read());
// A judge that finds no fault in these is none.
const wrong = {
  "a name that nothing has": (d) => { d.tittle = "x"; },
  "text for a number": (d) => { d.schemaVersion = "38"; },
  "text for a place": (d) => { d.panels.push({ type: "stat", options: {}, fieldConfig: { defaults: {} }, gridPos: { x: "0", y: 0, w: 1, h: 1 } }); },
  "an option of no panel": (d) => { d.panels[0].options.colour = "red"; },
  "a word of no enum": (d) => { d.panels.find((p) => p.type === "timeseries").fieldConfig.defaults.custom = { drawStyle: "dots" }; },
};
const missed = Object.entries(wrong).filter(([, spoil]) => {
  const dashboard = read();
  spoil(dashboard);
  return !judged(dashboard).includes("error TS");
});
for (const [what] of missed) console.log(`not noticed: ${what}`);
process.stdout.write(said);
process.exit(said || missed.length ? 1 : 0);
