// What the timeline says, in Spanish and English.

const LANGUAGE_KEY = "minka.language";

// A page that was opened from a disk may have no store.
function stored() {
  try {
    return localStorage.getItem(LANGUAGE_KEY);
  } catch {
    return null;
  }
}

const language = ["es", "en"].includes(stored()) ? stored() : navigator.language.startsWith("es") ? "es" : "en";

function otherLanguage() {
  try {
    localStorage.setItem(LANGUAGE_KEY, language === "es" ? "en" : "es");
    location.reload();
  } catch {
    document.getElementById("language").disabled = true;
  }
}

const TEXTS = {
  title: ["traza", "trace"],
  other: ["English", "Español"],
  about: ["{events} eventos en {seconds} s, desde {start}", "{events} events in {seconds} s, from {start}"],
  clocks: ["Relojes respecto de {first}: {list}", "Clocks against that of {first}: {list}"],
  alone: ["sin comparar", "not compared"],
  silent: ["no contestó", "did not answer"],
  whole: ["Quién fue qué, en el tiempo", "Who was what, over time"],
  steps: ["Paso a paso", "Step by step"],
  first: ["Primer paso", "First step"],
  before: ["Paso anterior", "Step before"],
  next: ["Paso siguiente", "Next step"],
  last: ["Último paso", "Last step"],
  play: ["Reproducir", "Play"],
  pause: ["Pausa", "Pause"],
  speed: ["Pasos/s", "Steps/s"],
  shown: ["Qué se muestra", "What is shown"],
  position: ["Posición", "Position"],
  keys: [
    "Teclas: ← → un paso, Mayús diez, espacio reproduce, N y P van al momento siguiente y al anterior.",
    "Keys: ← → one step, with Shift ten, space plays, N and P go to the next and the previous moment.",
  ],
  moments: ["Momentos", "Moments"],
  noMoments: ["Ningún cambio de rol en este tiempo.", "No change of a role in this time."],
  around: ["Eventos alrededor de este paso", "Events around this step"],
  time: ["Tiempo", "Time"],
  worker: ["Worker", "Worker"],
  event: ["Evento", "Event"],
  term: ["término {term}", "term {term}"],
  log: ["log {index}", "log {index}"],
  applied: ["aplicado {index}", "applied {index}"],
  diagram: ["Paso {step} de {all}: {said}", "Step {step} of {all}: {said}"],
  lost: ["no llegó, o aún no", "did not arrive, or not yet"],
  forgotten: ["la memoria de ese worker empieza después", "the memory of that worker begins later"],
  "kind.election": ["elecciones", "elections"],
  "kind.replication": ["replicación", "replication"],
  "kind.commit": ["aplicado", "applied"],
  "kind.heartbeat": ["latidos", "heartbeats"],
  "kind.read": ["lecturas", "reads"],
  "kind.snapshot": ["snapshots", "snapshots"],
  "role.leader": ["Líder", "Leader"],
  "role.follower": ["Seguidor", "Follower"],
  "role.candidate": ["Candidato", "Candidate"],
  "role.pre-candidate": ["Precandidato", "Pre-candidate"],
  "role.unknown": ["Aún no se sabe", "Not known yet"],
  "said.sent": ["{worker} → {peer}: {what}", "{worker} → {peer}: {what}"],
  "said.heard": ["{worker} recibe de {peer}: {what}", "{worker} hears from {peer}: {what}"],
  "said.role": ["{worker} es {role} en el término {term}; líder: {leader}", "{worker} is {role} in term {term}; leader: {leader}"],
  "said.applied": ["{worker} aplicó todo hasta {index}", "{worker} has applied all up to {index}"],
  "what.vote": [
    "pide el voto para el término {term}; su log llega a {last_index} (término {last_term})",
    "asks for a vote in term {term}; its log ends at {last_index} (term {last_term})",
  ],
  "what.prevote": [
    "pregunta si votaría en el término {term}; su log llega a {last_index} (término {last_term})",
    "asks whether it would get a vote in term {term}; its log ends at {last_index} (term {last_term})",
  ],
  "what.granted": ["voto a favor, término {term}", "vote granted, term {term}"],
  "what.refused": ["voto negado, término {term}", "vote refused, term {term}"],
  "what.append": [
    "{entries} entradas después de {previous_index}; confirmado {commit} (término {term})",
    "{entries} entries after {previous_index}; committed {commit} (term {term})",
  ],
  "what.probe": ["¿coincide el log en {previous_index}? confirmado {commit}", "does the log agree at {previous_index}? committed {commit}"],
  "what.append_reply": ["lo tiene en disco hasta {index}", "has it on disk up to {index}"],
  "what.rejected": ["no coincide en {index}; prueba desde {hint_index}", "does not agree at {index}; try from {hint_index}"],
  "what.heartbeat": ["latido {round}, confirmado {commit}", "heartbeat {round}, committed {commit}"],
  "what.heartbeat_reply": ["latido {round} recibido; en disco hasta {durable}", "heartbeat {round} heard; on disk up to {durable}"],
  "what.read": ["pide un índice de lectura ({number})", "asks for a read index ({number})"],
  "what.read_reply": ["se puede leer desde {index} ({number})", "may be read from {index} on ({number})"],
  "what.timeout_now": ["empieza una elección ya", "start an election at once"],
  "what.snapshot": ["snapshot de {index}, {size_bytes} bytes desde {offset}", "snapshot at {index}, {size_bytes} bytes from {offset}"],
  "what.snapshot_reply": ["tiene el snapshot de {index} hasta el byte {offset}", "has the snapshot at {index} up to byte {offset}"],
};

function t(key, values = {}) {
  const text = TEXTS[key]?.[language === "es" ? 0 : 1] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

function translate() {
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of document.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", t(one.dataset.tLabel));
}
