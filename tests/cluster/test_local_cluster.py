"""`local.sh` brings two nodes up and takes both down again, and nothing else."""

from local_clusters import command_lines, local_cluster, needs_cluster

pytestmark = needs_cluster


def test_two_nodes_come_and_go() -> None:
    with local_cluster(2, gpus=4) as cluster:
        assert cluster.token.stat().st_mode & 0o777 == 0o600
        status = cluster.script("status")
        assert status.stdout.count(" 1 node_") == 2
        assert "8.0 GPU" in status.stdout
        assert cluster.script("down").returncode == 0
        assert not [line for line in command_lines().values() if str(cluster.folder) in line]
        assert not cluster.token.exists()
