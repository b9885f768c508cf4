"""`/plain`: the essentials as tables, for browsers without JavaScript and tired phones.

It loads itself anew on wish only: whoever has it read out would begin again each time.
"""

import html
import time
from collections.abc import Iterable, Sequence
from typing import Any

from shared.http1 import Request
from shared.http_responses import Response, text_response
from worker.monitor.view import View

ROWS = 50
REFRESH_S = 5
TEXTS = {
    "title": ("Monitor de {id}", "Monitor of {id}"),
    "full": ("Página completa", "Full page"),
    "again": ("Actualizar cada {seconds} s", "Load again every {seconds} s"),
    "still": ("Dejar de actualizar", "Stop loading again"),
    "starting": ("El worker está arrancando.", "The worker is starting."),
    "cluster": ("Clúster, como lo ve este worker", "Cluster, as this worker sees it"),
    "files": ("Archivos: {all}, los últimos {shown}", "Files: {all}, the last {shown}"),
    "models": ("Modelos: {all}, los últimos {shown}", "Models: {all}, the last {shown}"),
    "records": ("Registros: {all}, los últimos {shown}", "Records: {all}, the last {shown}"),
    "events": ("Eventos", "Events"),
    "worker": ("Worker", "Worker"),
    "role": ("Rol", "Role"),
    "term": ("Término", "Term"),
    "committed": ("Confirmado", "Committed"),
    "applied": ("Aplicado", "Applied"),
    "state": ("Estado", "State"),
    "same": ("¿Igual a este?", "Equal to this one?"),
    "equal": ("igual", "equal"),
    "different": ("DISTINTO", "DIFFERENT"),
    "unknown": ("por comparar", "to be compared"),
    "offline": ("fuera de alcance", "out of reach"),
    "name": ("Nombre", "Name"),
    "size": ("Bytes", "Bytes"),
    "digest": ("Resumen SHA-256", "SHA-256 digest"),
    "status": ("Situación", "Status"),
    "accuracy": ("Aciertos", "Accuracy"),
    "progress": ("Avance", "Progress"),
    "time": ("Hora", "Time"),
    "client": ("Cliente", "Client"),
    "kind": ("Tipo", "Kind"),
    "what": ("Qué pasó", "What happened"),
}

Cells = Sequence[object]


def plain_page(view: View, request: Request) -> Response:
    """The page in Spanish or English, as the browser prefers."""
    spanish = request.head.headers.get("accept-language", "").lower().startswith("es")
    status = view.status() if view.row else {}

    def t(key: str, **values: object) -> str:
        return TEXTS[key][0 if spanish else 1].format(**values)

    title = t("title", id=status.get("id", "…"))
    again = request.head.query.get("again") == "yes"
    other = ("/plain", t("still")) if again else ("/plain?again=yes", t("again", seconds=REFRESH_S))
    links = f'<p><a href="/">{t("full")}</a> · <a href="{other[0]}">{other[1]}</a></p>'
    parts = [f"<h1>{html.escape(title)}</h1>", links]
    if status:
        workers = [status, *status["peers"]]
        heads = ("worker", "role", "term", "committed", "applied", "state", "same")
        parts.append(_table(t("cluster"), map(t, heads), [_worker(one, status["id"], t) for one in workers]))
        parts += _lists(view, t)
    else:
        parts.append(f"<p>{t('starting')}</p>")
    body = "".join(parts)
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if again else ""
    return text_response(
        f'<!doctype html><html lang="{"es" if spanish else "en"}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{refresh}'
        f'<title>{html.escape(title)}</title><link rel="stylesheet" href="/common/theme.css">'
        '<link rel="stylesheet" href="/common/dark.css" media="(prefers-color-scheme: dark)">'
        f'<link rel="stylesheet" href="/plain.css"></head><body><main>{body}</main></body></html>',
        content_type="text/html; charset=utf-8",
    )


def _worker(row: dict[str, Any], own: str, t: Any) -> Cells:
    agrees = {True: t("equal"), False: t("different"), None: t("unknown")}[row.get("agrees")]
    role = row.get("role") if row.get("reachable", True) else t("offline")
    cells = (row["id"], role, row.get("term"), row.get("commit_index"), row.get("applied_index"))
    return (*cells, row.get("state_digest"), "–" if row["id"] == own else agrees)


def _lists(view: View, t: Any) -> list[str]:
    files = view.files.search((), 0, ROWS)[0]
    models = view.models.search((), 0, ROWS)[0]
    records, events = view.records.newest(ROWS)[::-1], view.notices.newest(ROWS)[::-1]

    def heading(name: str, rows: Sequence[Any], total: int) -> str:
        return str(t(name, all=f"{total:,}", shown=len(rows)))

    return [
        _table(
            heading("models", models, len(view.models)),
            map(t, ("name", "status", "progress", "accuracy", "digest")),
            [
                (
                    row.get("name") or row.get("id"),
                    row.get("status"),
                    _percent(row.get("progress")),
                    _percent(row.get("test_accuracy")),
                    row.get("digest"),
                )
                for row in models
            ],
        ),
        _table(
            heading("files", files, len(view.files)),
            map(t, ("name", "size", "digest")),
            [(row.get("name"), row.get("bytes"), row.get("digest")) for row in files],
        ),
        _table(
            heading("records", records, view.records.last),
            ("#", *map(t, ("time", "client", "kind", "what"))),
            [
                (
                    row["record"],
                    _moment(row.get("time")),
                    row.get("client"),
                    row.get("kind"),
                    row.get("summary"),
                )
                for row in records
            ],
        ),
        _table(
            t("events"),
            map(t, ("time", "kind", "what")),
            [(_moment(row.get("time")), row.get("kind"), row.get("text")) for row in events],
        ),
    ]


def _table(caption: str, heads: Iterable[str], rows: Iterable[Cells]) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    lines = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table class="table"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{html.escape('–' if value is None else str(value))}</td>"


def _percent(part: object) -> str | None:
    return f"{part:.1%}" if isinstance(part, int | float) else None


def _moment(time_s: object) -> str | None:
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))
        if isinstance(time_s, int | float)
        else None
    )
