"""A server that starts again under the same leader (5.3)."""

from tests.raft.cluster import Cluster


def test_a_follower_that_started_again_commits_though_nothing_new_is_written() -> None:
    cluster = Cluster("abc")
    cluster.start()
    cluster.elect("a")
    cluster.propose("a", b"x", b"y")
    cluster.settle()
    cluster.elapse(1.0)
    cluster["b"].crash()
    cluster["a"].core.peer_lost("b", cluster.now)
    cluster["b"].start()
    cluster.settle()
    cluster.elapse(1.0)
    assert cluster["a"].is_leader
    assert cluster["b"].status().commit_index == cluster["a"].status().commit_index
