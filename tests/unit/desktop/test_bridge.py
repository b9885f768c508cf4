"""The bridge over HTTP, as the page sees it, on a cluster in memory."""

import json
import re
from pathlib import Path

from backend.desktop import calls
from backend.desktop.bridge import Bridge
from backend.desktop.link import NoCluster
from tests.browser.fake_cluster import FakeCluster, furnish
from tests.browser.waiting import until
from tests.unit.desktop.conftest import TARGET, FolderChooser, PageClient


class TestWhoMayAsk:
    def test_the_page_itself_needs_no_token(self, page: PageClient) -> None:
        status, headers, body = page.send("GET", "/", headers={})
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"main.js" in body
        assert page.send("GET", "/common/theme.css", headers={})[0] == 200

    def test_no_answer_opens_the_bridge_to_other_sites(self, page: PageClient) -> None:
        for path in ("/", "/api/files", "/api/nothing"):
            headers = page.send("GET", path)[1]
            assert not [name for name in headers if name.lower().startswith("access-control")]
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"

    def test_without_the_token_nothing_is_told_and_nothing_is_done(
        self, page: PageClient, bridge: Bridge, cluster: FakeCluster
    ) -> None:
        routes = bridge._api.routes
        assert len(routes) > 35
        for route in [*routes, calls.route("GET", "/api/events", lambda _: None)]:
            path = re.sub(r"\([^)]*\)", "1", route.pattern.pattern)
            assert page.send(route.method, path, b"{}", headers={})[0] == 403, path
            assert page.send(route.method, path, b"{}", headers={"X-Minka-Token": "guess"})[0] == 403, path
        assert (cluster.files, cluster.models, cluster.datasets) == ({}, {}, {})

    def test_another_host_or_origin_is_turned_away_even_with_the_token(self, page: PageClient) -> None:
        assert page.send("GET", "/api/files", headers=page.headers | {"Host": "minka.example"})[0] == 421
        assert (
            page.send("GET", "/api/files", headers=page.headers | {"Origin": "http://evil.example"})[0] == 403
        )
        assert page.send("OPTIONS", "/api/files", headers={"Origin": "http://evil.example"})[0] == 403

    def test_it_listens_on_loopback_only(self, bridge: Bridge) -> None:
        assert bridge.address.startswith("http://127.0.0.1:")

    def test_only_the_window_may_make_scripts_from_text(self, page: PageClient, cluster: FakeCluster) -> None:
        assert "unsafe-eval" not in page.send("GET", "/")[1]["Content-Security-Policy"]
        with Bridge(lambda: TARGET, lambda _target, _timeout: cluster, evaluates_scripts=True) as other:
            policy = PageClient(other).send("GET", "/")[1]["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval'" in policy


class TestRequests:
    def test_what_is_not_there_is_said(self, page: PageClient) -> None:
        assert page.send("GET", "/api/nothing")[0] == 404
        status, headers, _ = page.send("DELETE", "/api/models")
        assert (status, headers["Allow"]) == (405, "GET, POST")

    def test_bad_fields_are_refused_in_words(self, page: PageClient) -> None:
        assert page.refused("POST", "/api/models", b"[]")[1]["reason"] == "The body is not a JSON object."
        assert page.refused("POST", "/api/models", b"{")[0] == 422
        assert page.refused("POST", "/api/models", {"inputs": "x"})[1]["code"] == "violation"
        assert page.refused("POST", "/api/uploads", b"", name="a", bytes="-1")[0] == 422
        assert page.refused("POST", "/api/uploads", b"", name="", bytes="1")[0] == 422

    def test_a_fault_of_ours_is_told_as_such(self, page: PageClient, cluster: FakeCluster) -> None:
        page.until_online()
        cluster.models["m1"] = {}
        status, told = page.refused("GET", "/api/models/m1")
        assert (status, told["code"]) == (500, "failed")
        assert "Minka itself failed" in told["reason"]


class TestLive:
    def test_events_tell_the_versions_first_and_after_each_change(
        self, page: PageClient, cluster: FakeCluster
    ) -> None:
        page.until_online()
        before = page.ask("GET", "/api/versions")
        cluster.put("new.txt", b"new")
        until(lambda: page.ask("GET", "/api/versions")["files"] > before["files"])
        assert [row["name"] for row in page.ask("GET", "/api/files")["files"]] == ["new.txt"]

    def test_records_come_in_order_and_after_a_number(self, page: PageClient, cluster: FakeCluster) -> None:
        for name in ("a", "b", "c"):
            cluster.put(name, name.encode())
        until(lambda: len(page.ask("GET", "/api/records")["records"]) == 3)
        assert [row["record"] for row in page.ask("GET", "/api/records", after=1)["records"]] == [2, 3]
        cluster.put("d", b"d")
        until(lambda: [row["record"] for row in page.ask("GET", "/api/records", after=3)["records"]] == [4])

    def test_no_worker_is_said_and_healed_by_itself(self, page: PageClient, cluster: FakeCluster) -> None:
        cluster.put("kept.txt", b"kept")
        until(lambda: page.ask("GET", "/api/files")["files"])
        cluster.go_offline()
        told = page.until_state("connecting")
        assert (told["reason"], told["advice"]) == ("No worker can be reached.", "Start the workers first.")
        assert page.ask("GET", "/api/files")["files"], "what was known stays to be seen"
        cluster.come_back()
        page.until_online()

    def test_a_wrong_key_is_another_state_than_absence(self, page: PageClient, cluster: FakeCluster) -> None:
        cluster.lock_out()
        assert page.until_state("refused")["code"] == "access_denied"

    def test_a_new_leader_is_followed(self, page: PageClient, cluster: FakeCluster) -> None:
        page.until_online()
        cluster.elect("w3")
        until(lambda: page.ask("GET", "/api/connection")["leader"] == "w3")
        assert page.ask("GET", "/api/cluster")["term"] == cluster.term

    def test_without_a_known_cluster_it_waits_for_one(self, cluster: FakeCluster) -> None:
        known = False

        def find():  # type: ignore[no-untyped-def]
            if not known:
                raise NoCluster("No cluster is known here.", "Start one.")
            return TARGET

        with Bridge(find, lambda _target, _timeout: cluster) as bridge:
            page = PageClient(bridge)
            assert page.until_state("unset")["advice"] == "Start one."
            assert page.refused("GET", "/api/models/m1")[0] == 503
            known = True
            page.until_online()


class TestFiles:
    def test_a_small_file_takes_one_request(self, page: PageClient, cluster: FakeCluster) -> None:
        answer = page.ask("POST", "/api/uploads", b"hello", name="folder/ñandú.txt", bytes=5)
        row = page.until_ended(answer["transfer"]["id"])
        assert (row["state"], row["name"], row["bytes"]) == ("done", "folder/ñandú.txt", 5)
        assert cluster.files[row["file"]]["name"] == "folder/ñandú.txt"
        until(lambda: [file["id"] for file in page.ask("GET", "/api/files")["files"] or ()] == [row["file"]])

    def test_an_empty_file_is_a_file(self, page: PageClient, cluster: FakeCluster) -> None:
        answer = page.ask("POST", "/api/uploads", b"", name="empty", bytes=0)
        assert page.until_ended(answer["transfer"]["id"])["state"] == "done"

    def test_a_large_file_comes_in_pieces(self, page: PageClient, cluster: FakeCluster) -> None:
        data = bytes(range(256)) * 12_000
        first = page.ask("POST", "/api/uploads", data[:1_000_000], name="large", bytes=len(data))
        assert (first["offset"], first["transfer"]) == (1_000_000, None)
        path = f"/api/uploads/{first['upload']}"
        assert page.refused("PUT", path, data[:10], offset=5)[0] == 422
        page.ask("PUT", path, data[1_000_000:2_500_000], offset=1_000_000)
        last = page.ask("PUT", path, data[2_500_000:], offset=2_500_000)
        row = page.until_ended(last["transfer"]["id"])
        assert cluster.blobs[cluster.files[row["file"]]["digest"]] == data

    def test_more_bytes_than_announced_are_refused(self, page: PageClient) -> None:
        assert page.refused("POST", "/api/uploads", b"too long", name="x", bytes=3)[0] == 422

    def test_dropped_paths_are_uploaded_by_handle_folders_with_their_name(
        self, page: PageClient, cluster: FakeCluster, bridge: Bridge, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photos"
        (folder / "inner").mkdir(parents=True)
        (folder / "a.png").write_bytes(b"a")
        (folder / "inner" / "b.png").write_bytes(b"b")
        (folder / ".hidden").write_bytes(b"no")
        single = tmp_path / "notes.txt"
        single.write_bytes(b"notes")
        offers = bridge.handles.offer([folder, single, tmp_path / "absent"])
        assert [(offer.name, offer.folder) for offer in offers] == [("photos", True), ("notes.txt", False)]
        answer = page.ask("POST", "/api/uploads/handles", {"handles": [offer.handle for offer in offers]})
        assert answer == {"transfers": 3}
        until(lambda: page.ask("GET", "/api/transfers")["done"] == 3)
        assert sorted(row["name"] for row in cluster.files.values()) == [
            "notes.txt",
            "photos/a.png",
            "photos/inner/b.png",
        ]

    def test_a_handle_that_was_never_given_opens_nothing(self, page: PageClient, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("secret")
        assert page.refused("POST", "/api/uploads/handles", {"handles": [str(secret)]})[0] == 422
        assert page.refused("GET", "/api/handles/secret")[0] == 422
        assert page.send("GET", f"/api/handles/{secret}")[0] == 404

    def test_a_dropped_picture_can_be_looked_at(
        self, page: PageClient, bridge: Bridge, tmp_path: Path
    ) -> None:
        picture = tmp_path / "seven.png"
        picture.write_bytes(b"\x89PNG")
        (offer,) = bridge.handles.offer([picture])
        assert page.send("GET", f"/api/handles/{offer.handle}")[2] == b"\x89PNG"

    def test_chosen_files_are_offered(self, page: PageClient, chooser: FolderChooser, tmp_path: Path) -> None:
        path = tmp_path / "chosen.txt"
        path.write_bytes(b"12345")
        chooser.files = [path]
        (row,) = page.ask("POST", "/api/files/choose", b"")["handles"]
        assert (row["name"], row["bytes"], row["folder"]) == ("chosen.txt", 5, False)

    def test_a_download_lands_where_the_person_said(
        self, page: PageClient, cluster: FakeCluster, tmp_path: Path
    ) -> None:
        data = b"x" * 3_000_000
        file = cluster.put("folder/data.bin", data)
        until(lambda: page.ask("GET", "/api/files")["files"])
        answer = page.ask("POST", f"/api/files/{file}/download", b"")
        row = page.until_ended(answer["transfer"]["id"])
        assert row["path"] == str(tmp_path / "data.bin")
        assert (tmp_path / "data.bin").read_bytes() == data

    def test_thinking_better_of_a_download_is_no_failure(
        self, page: PageClient, cluster: FakeCluster, chooser: FolderChooser
    ) -> None:
        file = cluster.put("data.bin", b"x")
        chooser.declines = True
        until(lambda: page.ask("GET", "/api/files")["files"])
        assert page.ask("POST", f"/api/files/{file}/download", b"") == {"transfer": None}

    def test_a_file_is_removed(self, page: PageClient, cluster: FakeCluster) -> None:
        file = cluster.put("old.txt", b"old")
        assert page.ask("DELETE", f"/api/files/{file}") == {"id": file, "name": "old.txt"}
        assert not cluster.files
        status, told = page.refused("DELETE", f"/api/files/{file}")
        assert (status, told["code"]) == (422, "refused")

    def test_an_upload_can_be_cancelled_and_tried_again(self, page: PageClient, cluster: FakeCluster) -> None:
        import threading

        cluster.upload_gate = gate = threading.Event()
        data = b"y" * 2_500_000
        transfer = page.ask("POST", "/api/uploads", data, name="slow", bytes=len(data))["transfer"]["id"]
        until(lambda: page.ask("GET", "/api/transfers")["running"] == 1)
        page.ask("POST", f"/api/transfers/{transfer}/cancel", b"")
        gate.set()
        assert page.until_ended(transfer)["state"] == "cancelled"
        page.ask("POST", f"/api/transfers/{transfer}/retry", b"")
        assert page.until_ended(transfer)["state"] == "done"
        page.ask("POST", "/api/transfers/clear", b"")
        assert page.ask("GET", "/api/transfers")["rows"] == []
        assert page.refused("POST", f"/api/transfers/{transfer}/retry", b"")[0] == 422


class TestModels:
    def test_training_is_started_followed_and_cancelled(self, page: PageClient, cluster: FakeCluster) -> None:
        inputs, outputs = cluster.put("images", b"i"), cluster.put("labels", b"l")
        spec = {"inputs": inputs, "outputs": outputs, "epochs": 3, "name": "digits"}
        model = page.ask("POST", "/api/models", spec)["model"]
        cluster.train_round(model, 0.5, 0.9)
        shown = page.ask("GET", f"/api/models/{model}")
        assert shown["history"] == [{"round": 1, "loss": 0.5, "test_accuracy": 0.9}]
        until(lambda: [row["id"] for row in page.ask("GET", "/api/models")["models"] or ()] == [model])
        assert page.ask("POST", f"/api/models/{model}/cancel", b"") == {"model": model, "status": "cancelled"}

    def test_a_refusal_keeps_the_clusters_words(self, page: PageClient) -> None:
        status, told = page.refused("POST", "/api/models", {"inputs": 1, "outputs": 2})
        assert (status, told["reason"]) == (422, "There is no file 1.")

    def test_a_prediction_carries_its_receipt(self, page: PageClient, cluster: FakeCluster) -> None:
        furnish(cluster)
        model = next(iter(cluster.models))
        answer = page.ask("POST", f"/api/models/{model}/predict", b"\x89PNG picture")
        assert cluster.predicted == [b"\x89PNG picture"]
        assert set(answer) == {"model", "digest", "term", "index", "worker", "outputs"}
        assert answer["outputs"][0]["label"] == "7"
        assert page.refused("POST", f"/api/models/{model}/predict", b"")[0] == 422

    def test_offline_is_told_at_once_with_its_family(self, page: PageClient, cluster: FakeCluster) -> None:
        cluster.go_offline()
        status, told = page.refused("POST", "/api/models/m1/predict", b"picture")
        assert (status, told) == (
            503,
            {
                "code": "unreachable",
                "reason": "No worker can be reached.",
                "advice": "Start the workers first.",
            },
        )


def test_the_events_are_an_event_stream(page: PageClient) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", page.bridge.access.port, timeout=10)
    try:
        connection.request("GET", "/api/events", headers=page.headers)
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.fp.readline() == b"event: versions\n"
        versions = json.loads(response.fp.readline().removeprefix(b"data: "))
        assert set(versions) == {
            "connection",
            "cluster",
            "files",
            "datasets",
            "models",
            "records",
            "transfers",
        }
    finally:
        connection.close()
