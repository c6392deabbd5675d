"""Several mistakes in one command. One at a time they are in tests/bad_inputs."""


def test_all_mistakes_of_a_command_are_named_at_once(command):
    code, _, err = command(
        "modle=resnet18",
        "data=cifar11",
        "optimizer.lrr=1",
        "seed=x",
        "data.batch_size=16",
        "a=b=c",
        "--dry",
        "+loss.l2=1",
    )
    assert code == 2
    assert err.startswith("8 errors:\n  1. ")
    for word in ("modle", "cifar11", "optimizer.lrr", "seed=x", "data.batch_size=16", "'a=b=c'", "--dry", "loss.l2=1"):
        assert word in err


def test_a_mistake_in_every_run_of_a_sweep_is_named_once(command):
    _, _, err = command("-m", "optimizer.nesterov=true,false", "seed=range(0,5)", "optimizer.lr=-1")
    assert err.count("optimizer.lr=-1") == 1
    assert "(in " not in err


def test_a_mistake_in_one_arm_says_which(command):
    _, _, err = command("-m", "model.ghost_size=16,256", "seed=0,1")
    assert "model.ghost_size=256 with data.batch_size=64 (in ghost_size=256,seed=0 and 1 more)" in err
