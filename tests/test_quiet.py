"""What Lightning says at every start is not shown."""

import os
import warnings

from lightning_fabric.plugins.environments import SLURMEnvironment

from ablate.processes.quiet import quiet_lightning


def test_a_login_node_is_no_reason_to_warn(tmp_path, monkeypatch):
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with quiet_lightning(), warnings.catch_warnings(record=True) as shown:
        assert not SLURMEnvironment.detect()
    assert shown == []
