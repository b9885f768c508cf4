// Every text of the application, in both languages; the tables are in words/, by page.

import { translator } from "/common/words.js";
import { cluster, records } from "/words/cluster.js";
import { connect, settings } from "/words/settings.js";
import { datasets } from "/words/datasets.js";
import { files } from "/words/files.js";
import { actions, compare, models } from "/words/models.js";
import { failures, link, shell } from "/words/shell.js";
import { train } from "/words/train.js";
import { trial } from "/words/try.js";

export const table = {
  ...shell, ...link, ...failures, ...connect, ...settings, ...files, ...datasets, ...train, ...models, ...compare, ...actions, ...trial, ...cluster, ...records,
};

export const t = translator(table);

// A word of a closed set, or the raw value when the cluster knows more than this page.
export function word(prefix, value) {
  const key = `${prefix}.${value}`;
  return key in table ? t(key) : String(value ?? "");
}

// One sentence for a person about a failed request; a refusal carries its own words.
export function failureText(error) {
  if (["refused", "no_space"].includes(error.code) && error.reason) return `${error.reason} ${error.advice}`.trim();
  const key = `failed.${error.code}`;
  return key in table ? t(key) : error.reason || t("failed.other");
}
