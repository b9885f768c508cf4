// The frame of the window, the connection, and failures.

export const shell = {
  skip: { en: "Skip to the content", es: "Saltar al contenido" },
  tagline: { en: "train together", es: "entrenar juntos" },
  menu: { en: "Pages", es: "Páginas" },
  "page.files": { en: "Files", es: "Archivos" },
  "page.datasets": { en: "Data sets", es: "Datos" },
  "page.settings": { en: "Settings", es: "Ajustes" },
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

export const link = {
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

export const failures = {
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
