// Every text of the application, in both languages.

import { translator } from "/common/words.js";

const shell = {
  skip: { en: "Skip to the content", es: "Saltar al contenido" },
  tagline: { en: "train together", es: "entrenar juntos" },
  menu: { en: "Pages", es: "Páginas" },
  "page.files": { en: "Files", es: "Archivos" },
  "page.train": { en: "Train", es: "Entrenar" },
  "page.models": { en: "Models", es: "Modelos" },
  "page.try": { en: "Try it", es: "Probar" },
  "page.cluster": { en: "Cluster", es: "Clúster" },
  "page.records": { en: "Records", es: "Registros" },
  language: { en: "Español", es: "English" },
  "language.label": { en: "Cambiar a español", es: "Switch to English" },
  loading: { en: "Loading…", es: "Cargando…" },
  "action.cancel": { en: "Cancel", es: "Cancelar" },
  "action.close": { en: "Close", es: "Cerrar" },
  "action.undo": { en: "Undo", es: "Deshacer" },
  "fault.title": { en: "This page could not be drawn", es: "No se pudo dibujar esta página" },
  "fault.text": {
    en: "This is a fault of the application, not of the cluster: your files and models are safe.",
    es: "Es un fallo de la aplicación, no del clúster: tus archivos y modelos están a salvo.",
  },
};

const link = {
  "link.online": { en: "Connected", es: "Conectado" },
  "link.workers": { en: "{up} of {all} workers", es: "{up} de {all} nodos" },
  "link.connecting": { en: "Connecting…", es: "Conectando…" },
  "link.refused": { en: "Not admitted", es: "Sin acceso" },
  "link.unset": { en: "No cluster yet", es: "Aún sin clúster" },
  "link.gone": { en: "Bridge stopped", es: "Puente detenido" },
  "link.locked": { en: "Locked", es: "Bloqueado" },
  "notice.connecting": {
    en: "No worker answers yet. Minka keeps trying, and goes on by itself as soon as one does.",
    es: "Todavía no responde ningún nodo. Minka sigue intentándolo y continuará sola en cuanto responda uno.",
  },
  "notice.refused": {
    en: "The workers answer, but do not let this computer in.",
    es: "Los nodos responden, pero no admiten a este equipo.",
  },
  "notice.unset": {
    en: "This computer does not know a cluster yet. Start one here, or name its workers; Minka connects by itself then.",
    es: "Este equipo todavía no conoce ningún clúster. Inicia uno aquí o indica sus nodos; Minka se conectará sola.",
  },
  "notice.gone": {
    en: "The Minka program on this computer has stopped. Close this page and open Minka again.",
    es: "El programa Minka de este equipo se ha detenido. Cierra esta página y vuelve a abrir Minka.",
  },
  "notice.locked": {
    en: "This page lacks the key of this run. Close it and open Minka again.",
    es: "A esta página le falta la llave de esta sesión. Ciérrala y vuelve a abrir Minka.",
  },
  "notice.details": { en: "What exactly", es: "Qué pasó exactamente" },
};

const failures = {
  "failed.unreachable": { en: "The cluster cannot be reached just now.", es: "No se puede llegar al clúster en este momento." },
  "failed.not_leader": { en: "The cluster is choosing a leader. Try again in a moment.", es: "El clúster está eligiendo líder. Inténtalo en un momento." },
  "failed.timed_out": { en: "The answer did not come in time.", es: "La respuesta no llegó a tiempo." },
  "failed.outcome_unknown": { en: "It may or may not have been done: look before you repeat it.", es: "Puede que se haya hecho o no: míralo antes de repetirlo." },
  "failed.busy": { en: "The cluster is busy. Try again in a moment.", es: "El clúster está ocupado. Inténtalo en un momento." },
  "failed.access_denied": { en: "The key of this computer was not accepted.", es: "La llave de este equipo no fue aceptada." },
  "failed.bridge": { en: "The Minka program on this computer does not answer.", es: "El programa Minka de este equipo no responde." },
  "failed.refused": { en: "That is not possible.", es: "Eso no es posible." },
  "failed.other": { en: "Something went wrong.", es: "Algo salió mal." },
};

const files = {
  "files.lead": {
    en: "What you drop here is copied to every worker. It stays when any of them is switched off.",
    es: "Lo que sueltes aquí se copia a todos los nodos. Permanece aunque se apague cualquiera de ellos.",
  },
  "files.drop": { en: "Drop files or folders here", es: "Suelta aquí archivos o carpetas" },
  "files.or": { en: "or", es: "o" },
  "files.choose": { en: "Choose files", es: "Elegir archivos" },
  "files.release": { en: "Let go to share with the cluster", es: "Suelta para compartir con el clúster" },
  "files.search": { en: "Search by name", es: "Buscar por nombre" },
  "files.list": { en: "In the cluster", es: "En el clúster" },
  "files.count": { en: "{count} files, {size}", es: "{count} archivos, {size}" },
  "files.count.one": { en: "1 file, {size}", es: "1 archivo, {size}" },
  "files.shown": { en: "The first {shown} of {count} are shown: search to see others.", es: "Se muestran los primeros {shown} de {count}: busca para ver otros." },
  "files.name": { en: "Name", es: "Nombre" },
  "files.size": { en: "Size", es: "Tamaño" },
  "files.digest": { en: "Digest", es: "Huella" },
  "files.holders": { en: "Copies", es: "Copias" },
  "files.created": { en: "Added", es: "Añadido" },
  "files.actions": { en: "Actions", es: "Acciones" },
  "files.held": { en: "On {names}", es: "En {names}" },
  "files.download": { en: "Download {name}", es: "Descargar {name}" },
  "files.remove": { en: "Delete {name}", es: "Borrar {name}" },
  "files.removed": { en: "{name} is deleted", es: "Se borró {name}" },
  "files.empty": { en: "No files yet. The first one you drop appears here, and on every worker.", es: "Aún no hay archivos. El primero que sueltes aparecerá aquí y en todos los nodos." },
  "files.none": { en: "No file is called that.", es: "Ningún archivo se llama así." },
  "files.offline": { en: "The list comes as soon as a worker answers.", es: "La lista llegará en cuanto responda un nodo." },
  "queue.title": { en: "Transfers", es: "Transferencias" },
  "queue.clear": { en: "Clear the list", es: "Vaciar la lista" },
  "queue.busy": { en: "{left} left · {done} of {all}", es: "Faltan {left} · {done} de {all}" },
  "queue.rate": { en: "{rate}/s", es: "{rate}/s" },
  "queue.time": { en: "about {time}", es: "unos {time}" },
  "queue.idle": { en: "{done} done", es: "{done} listos" },
  "queue.failed": { en: "{failed} failed", es: "{failed} fallaron" },
  "queue.more": { en: "and {count} more", es: "y {count} más" },
  "queue.cancel": { en: "Cancel {name}", es: "Cancelar {name}" },
  "queue.retry": { en: "Try {name} again", es: "Reintentar {name}" },
  "queue.progress": { en: "Progress of {name}", es: "Avance de {name}" },
  "state.waiting": { en: "Waiting", es: "En espera" },
  "state.running": { en: "On its way", es: "En camino" },
  "state.done": { en: "Done", es: "Listo" },
  "state.failed": { en: "Failed", es: "Falló" },
  "state.cancelled": { en: "Cancelled", es: "Cancelado" },
  "saved.to": { en: "Saved to {path}", es: "Guardado en {path}" },
};

const train = {
  "train.lead": { en: "Every core of every worker takes part. You may close this window meanwhile.", es: "Participan todos los núcleos de todos los nodos. Mientras tanto puedes cerrar esta ventana." },
  "train.data": { en: "What to learn from", es: "De qué aprender" },
  "train.inputs": { en: "Images", es: "Imágenes" },
  "train.outputs": { en: "Labels", es: "Etiquetas" },
  "train.test_inputs": { en: "Test images", es: "Imágenes de prueba" },
  "train.test_outputs": { en: "Test labels", es: "Etiquetas de prueba" },
  "train.optional": { en: "optional", es: "opcional" },
  "train.pick": { en: "Choose a file…", es: "Elige un archivo…" },
  "train.none": { en: "None", es: "Ninguno" },
  "train.model": { en: "What to make", es: "Qué crear" },
  "train.arch": { en: "Architecture", es: "Arquitectura" },
  "arch.mlp": { en: "Perceptron", es: "Perceptrón" },
  "arch.mlp.text": { en: "Small and very fast. Good for digits and simple pictures.", es: "Pequeño y muy rápido. Bueno para dígitos e imágenes sencillas." },
  "arch.cnn": { en: "Convolutional", es: "Convolucional" },
  "arch.cnn.text": { en: "Sees shapes wherever they are. Slower, and more accurate.", es: "Reconoce formas estén donde estén. Más lento y más preciso." },
  "train.epochs": { en: "Epochs", es: "Épocas" },
  "train.epochs.text": { en: "How often each image is seen", es: "Cuántas veces se ve cada imagen" },
  "train.name": { en: "Name", es: "Nombre" },
  "train.name.text": { en: "for people; the cluster gives the identifier", es: "para las personas; el clúster da el identificador" },
  "train.more": { en: "More choices", es: "Más opciones" },
  "train.batch": { en: "Batch", es: "Lote" },
  "train.lr": { en: "Learning rate", es: "Tasa de aprendizaje" },
  "train.seed": { en: "Seed", es: "Semilla" },
  "train.shards": { en: "Shards", es: "Particiones" },
  "train.auto": { en: "automatic", es: "automático" },
  "train.start": { en: "Start training", es: "Empezar a entrenar" },
  "train.started": { en: "Training of {model} has begun", es: "Empezó el entrenamiento de {model}" },
  "train.missing": { en: "Choose the images and their labels first.", es: "Elige primero las imágenes y sus etiquetas." },
  "train.nofiles": { en: "Training needs a file of images and one of labels in the cluster.", es: "Para entrenar hace falta un archivo de imágenes y otro de etiquetas en el clúster." },
  "train.gofiles": { en: "Add files", es: "Añadir archivos" },
  "train.progress": { en: "Progress", es: "Avance" },
  "train.idle": { en: "Nothing is being trained.", es: "No se está entrenando nada." },
  "train.idle.text": { en: "The curve of the next training is drawn here, live.", es: "Aquí se dibujará en vivo la curva del próximo entrenamiento." },
  "train.round": { en: "Round", es: "Ronda" },
  "train.speed": { en: "Images a second", es: "Imágenes por segundo" },
  "train.accuracy": { en: "Test accuracy", es: "Acierto en prueba" },
  "train.seconds": { en: "Time", es: "Tiempo" },
  "train.loss": { en: "Loss", es: "Pérdida" },
  "train.cancel": { en: "Stop training", es: "Detener" },
  "train.cancelled": { en: "{model} was stopped", es: "Se detuvo {model}" },
  "train.try": { en: "Try it", es: "Probarlo" },
  "chart.label": { en: "Loss {loss}, test accuracy {accuracy} after round {round}", es: "Pérdida {loss}, acierto {accuracy} tras la ronda {round}" },
  "chart.waiting": { en: "The first round is under way", es: "La primera ronda está en marcha" },
};

const models = {
  "models.lead": { en: "Each has an identifier for ever, and the same bits on every worker.", es: "Cada uno tiene un identificador para siempre y los mismos bits en todos los nodos." },
  "models.empty": { en: "No models yet.", es: "Aún no hay modelos." },
  "models.gotrain": { en: "Train the first one", es: "Entrenar el primero" },
  "models.id": { en: "Model", es: "Modelo" },
  "models.status": { en: "State", es: "Estado" },
  "models.arch": { en: "Architecture", es: "Arquitectura" },
  "models.accuracy": { en: "Accuracy", es: "Acierto" },
  "models.digest": { en: "Digest of the weights", es: "Huella de los pesos" },
  "models.created": { en: "Created", es: "Creado" },
  "models.pick": { en: "Choose a model to see how it came to be.", es: "Elige un modelo para ver cómo se hizo." },
  "models.facts": { en: "How it was trained", es: "Cómo se entrenó" },
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

const trial = {
  "try.lead": { en: "Draw, or drop a picture. The answer comes from the cluster.", es: "Dibuja o suelta una imagen. La respuesta llega del clúster." },
  "try.model": { en: "Model", es: "Modelo" },
  "try.nomodel": { en: "There is no trained model yet.", es: "Aún no hay ningún modelo entrenado." },
  "try.canvas": { en: "Drawing area: draw a digit with the mouse, a pen or a finger", es: "Área de dibujo: dibuja un dígito con el ratón, un lápiz o el dedo" },
  "try.hint": { en: "Draw a digit here", es: "Dibuja aquí un dígito" },
  "try.clear": { en: "Clear", es: "Borrar" },
  "try.undo": { en: "Undo", es: "Deshacer" },
  "try.image": { en: "Choose a picture", es: "Elegir una imagen" },
  "try.release": { en: "Let go to ask about this picture", es: "Suelta para preguntar por esta imagen" },
  "try.answer": { en: "Answer", es: "Respuesta" },
  "try.waiting": { en: "What the model sees appears here.", es: "Aquí aparece lo que ve el modelo." },
  "try.sure": { en: "{share} sure", es: "{share} de certeza" },
  "try.receipt": { en: "Receipt", es: "Recibo" },
  "try.receipt.text": { en: "Who answered, and on which state of the log.", es: "Quién respondió y sobre qué estado del registro." },
  "receipt.model": { en: "Model", es: "Modelo" },
  "receipt.digest": { en: "Digest", es: "Huella" },
  "receipt.term": { en: "Term", es: "Mandato" },
  "receipt.index": { en: "Log index", es: "Índice" },
  "receipt.worker": { en: "Worker", es: "Nodo" },
  "receipt.time": { en: "Answer in", es: "Respuesta en" },
  "try.notimage": { en: "{name} is not a picture that can be shown here.", es: "{name} no es una imagen que se pueda mostrar aquí." },
};

const cluster = {
  "cluster.lead": { en: "Whoever leads puts everything in order; the others keep the same. Any of them may be switched off.", es: "El líder pone todo en orden; los demás guardan lo mismo. Cualquiera puede apagarse." },
  "cluster.map": { en: "Map of the workers", es: "Mapa de los nodos" },
  "cluster.offline": { en: "The map comes as soon as a worker answers.", es: "El mapa llegará en cuanto responda un nodo." },
  "role.leader": { en: "Leader", es: "Líder" },
  "role.follower": { en: "Follower", es: "Seguidor" },
  "role.candidate": { en: "Candidate", es: "Candidato" },
  "role.pre-candidate": { en: "Candidate", es: "Candidato" },
  "role.learner": { en: "Learner", es: "Aprendiz" },
  "role.offline": { en: "Off", es: "Apagado" },
  "cluster.term": { en: "Term", es: "Mandato" },
  "cluster.commit": { en: "Commit index", es: "Índice confirmado" },
  "cluster.cores": { en: "Cores", es: "Núcleos" },
  "cluster.applied": { en: "Applied", es: "Aplicado" },
  "cluster.state": { en: "State digest", es: "Huella del estado" },
  "cluster.worker": { en: "Worker", es: "Nodo" },
  "cluster.address": { en: "Address", es: "Dirección" },
  "cluster.monitor": { en: "Monitor", es: "Monitor" },
  "cluster.equal": { en: "All copies are equal", es: "Todas las copias son iguales" },
  "cluster.behind": { en: "Catching up", es: "Poniéndose al día" },
};

const records = {
  "records.lead": { en: "Everything that was decided, in the order of the log.", es: "Todo lo que se decidió, en el orden del registro." },
  "records.empty": { en: "Nothing was decided yet.", es: "Aún no se ha decidido nada." },
  "records.none": { en: "No record says that.", es: "Ningún registro dice eso." },
  "records.offline": { en: "The records come as soon as a worker answers.", es: "Los registros llegarán en cuanto responda un nodo." },
  "records.count": { en: "{count} records", es: "{count} registros" },
  "records.search": { en: "Search", es: "Buscar" },
  "records.number": { en: "No.", es: "N.º" },
  "records.index": { en: "Index", es: "Índice" },
  "records.time": { en: "Time", es: "Hora" },
  "records.kind": { en: "Kind", es: "Tipo" },
  "records.summary": { en: "What happened", es: "Qué pasó" },
  "records.client": { en: "By", es: "Por" },
  "kind.put": { en: "file", es: "archivo" },
  "kind.remove": { en: "deleted", es: "borrado" },
  "kind.train": { en: "training", es: "entrenamiento" },
  "kind.model": { en: "model", es: "modelo" },
  "kind.predict": { en: "prediction", es: "predicción" },
  "kind.evaluate": { en: "evaluation", es: "evaluación" },
  "kind.promote": { en: "alias", es: "alias" },
  "kind.example": { en: "example", es: "ejemplo" },
};

const actions = {
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

const table = { ...shell, ...link, ...failures, ...files, ...train, ...models, ...trial, ...cluster, ...records, ...actions };

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
