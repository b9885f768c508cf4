// The page of models.

export const models = {
  "models.lead": { en: "Each has an identifier for ever, and the same bits on every worker.", es: "Cada uno tiene un identificador para siempre y los mismos bits en todos los nodos." },
  "models.empty": { en: "No models yet.", es: "Aún no hay modelos." },
  "models.offline": { en: "The models come as soon as a worker answers.", es: "Los modelos llegarán en cuanto responda un nodo." },
  "models.gotrain": { en: "Train the first one", es: "Entrenar el primero" },
  "models.id": { en: "Model", es: "Modelo" },
  "models.status": { en: "State", es: "Estado" },
  "models.arch": { en: "Architecture", es: "Arquitectura" },
  "models.accuracy": { en: "Accuracy", es: "Acierto" },
  "models.digest": { en: "Digest of the weights", es: "Huella de los pesos" },
  "models.created": { en: "Created", es: "Creado" },
  "models.pick": { en: "Choose a model to see how it came to be.", es: "Elige un modelo para ver cómo se hizo." },
  "models.facts": { en: "How it was trained", es: "Cómo se entrenó" },
  "models.settings": { en: "All settings", es: "Todos los ajustes" },
  "models.sources": { en: "What it learned from", es: "De qué aprendió" },
  "models.lineage": { en: "On which machines", es: "En qué máquinas" },
  "models.rounds": { en: "Rounds", es: "Rondas" },
  "models.bytes": { en: "Size", es: "Tamaño" },
  "models.error": { en: "Why it failed", es: "Por qué falló" },
  "models.traceback": { en: "Where in the program", es: "En qué parte del programa" },
  "status.queued": { en: "Queued", es: "En cola" },
  "status.preparing": { en: "Preparing", es: "Preparando" },
  "status.training": { en: "Training", es: "Entrenando" },
  "status.done": { en: "Ready", es: "Listo" },
  "status.failed": { en: "Failed", es: "Falló" },
  "status.cancelled": { en: "Stopped", es: "Detenido" },
};

export const compare = {
  "compare.title": { en: "Compare", es: "Comparar" },
  "compare.with": { en: "Compare with", es: "Comparar con" },
  "compare.pick": { en: "Choose another model…", es: "Elige otro modelo…" },
  "compare.text": { en: "Side by side with another model: what both reached, and in what they differ.", es: "Junto a otro modelo: qué alcanzaron ambos y en qué se diferencian." },
  "compare.fact": { en: "Fact", es: "Dato" },
  "compare.better": { en: "better", es: "mejor" },
  "compare.chart": { en: "{what} at the end: {one} and {other}", es: "{what} al final: {one} y {other}" },
  "compare.begin": { en: "begin", es: "inicio" },
  "compare.end": { en: "end", es: "final" },
};

export const actions = {
  "actions.title": { en: "What it is worth", es: "Cuánto vale" },
  "actions.evaluate": { en: "Evaluate", es: "Evaluar" },
  "actions.unknown": { en: "Nobody has compared it with known labels yet.", es: "Nadie lo ha comparado aún con etiquetas conocidas." },
  "actions.aliases": { en: "Aliases", es: "Alias" },
  "actions.alias": { en: "Also {name}@", es: "También {name}@" },
  "actions.promote": { en: "Promote", es: "Promover" },
  "actions.back": { en: "Roll back", es: "Deshacer" },
  "actions.nameless": { en: "Only a model with a name can have aliases.", es: "Solo un modelo con nombre puede tener alias." },
  "actions.export": { en: "Take it to other programs", es: "Llevarlo a otros programas" },
  "actions.exported": { en: "Written to {path}", es: "Escrito en {path}" },
};
