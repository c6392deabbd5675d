"""Every mistake ends in a message with three parts, exit code 2, and a folder as empty as before."""

from pathlib import Path

import pytest

# The words that are typed, and what the message must contain: the fix above all.
BAD = [
    # keys that do not exist
    (["optimizer.lrr=0.1"], ["optimizer.lrr=0.1: no such key", "lr, momentum", "type:    optimizer.lr=0.1"]),
    (["optimiser.lr=0.1"], ["type:    optimizer.lr=0.1"]),
    (["modle=resnet18"], ["type:    model=resnet18"]),
    (["batch_size=64"], ["type:    data.batch_size=64"]),
    (["lr=0.3"], ["type:    optimizer.lr=0.3"]),
    (["+optimizer.lrr=0.1"], ["optimizer.lrr=0.1: no such key", "type:    optimizer.lr=0.1"]),
    (["+loss.label_smothing=0.1"], ["type:    loss.label_smoothing=0.1"]),
    (["+quux.a.b=1"], ["quux={a:{b:1}}: no such key", "leave quux out"]),
    (["~optimizer.momentun"], ["type:    ~optimizer.momentum"]),
    (
        ["optimizer=adamw", "optimizer.nesterov=true"],
        ["no such key in optimizer=adamw", "optimizer=sgd optimizer.nest"],
    ),
    (["hydra.run.dri=x"], ["hydra.run.dri=x", "--hydra-help"]),
    # options that do not exist
    (["model=resnet19"], ["model=resnet19: no such option", "gbn_resnet152", "type:    model=resnet18"]),
    (["experiment=asignment"], ["type:    experiment=assignment"]),
    (["hydra/launcher=slurm"], ["hydra/launcher=slurm: no such option", "basic"]),
    (["optimizer=null"], ["optimizer=null: no such option"]),
    (["~optimizer"], ["~optimizer: every run has one", "adamw, sgd"]),
    (["~logger"], ["type:    logger=none"]),
    # words that cannot be read
    (["optimizer.lr"], ["'optimizer.lr' is no key=value", "type:    optimizer.lr=VALUE"]),
    (["=3"], ["'=3' names no key"]),
    (["data.root=a=b"], ["cannot be read", "data.root='a=b'"]),
    (["data.root=Bär"], ["cannot be read", "data.root='Bär'"]),
    (["--optimizer.lr=0.1"], ["--optimizer.lr=0.1: no such option", "type:    optimizer.lr=0.1"]),
    (["+optimizer.lr=0.1"], ["the key exists", "type:    optimizer.lr=0.1"]),
    (["optimizer.lr=0.1,0.2"], ["one value in a single run", "python train.py -m optimizer.lr=0.1,0.2"]),
    (["-m", "optimizer.lr=interval(0,1)"], ["values to try one by one", "optimizer.lr=0.1,0.2"]),
    # types and ranges
    (["optimizer.lr=abc"], ["optimizer.lr=abc", "a number above 0", "type:    optimizer.lr=0.1"]),
    (["optimizer.lr=true"], ["optimizer.lr=true", "a number above 0"]),
    (["optimizer.lr=nan"], ["optimizer.lr=nan"]),
    (["optimizer.lr=inf"], ["optimizer.lr=inf"]),
    (["optimizer.lr=-0.1"], ["optimizer.lr=-0.1"]),
    (["optimizer.lr='0.1'"], ["optimizer.lr=0.1", "a number above 0"]),
    (["optimizer.momentum=1"], ["optimizer.momentum=1", "from 0, below 1"]),
    (["optimizer.nesterov=maybe"], ["true or false"]),
    (["data.batch_size=1.5"], ["data.batch_size=1.5", "a whole number from 2"]),
    (["data.batch_size=true"], ["data.batch_size=true"]),
    (["data.val_fraction=0"], ["above 0, at most 0.5"]),
    (["data.val_fraction=0.6"], ["above 0, at most 0.5"]),
    (["data.num_workers=-1"], ["auto, or a whole number from 0"]),
    (["model.depth=19"], ["18, 34, 50, 101 or 152"]),
    (["model.ghost_size=1"], ["one alone has no variance"]),
    (["trainer.precision=bf16"], ["type:    trainer.precision=bf16-mixed"]),
    (["trainer.accelerator=cuba"], ["type:    trainer.accelerator=cuda"]),
    (["trainer.max_epochs=0"], ["trainer.max_epochs=0", "a whole number from 1"]),
    (["seed=-1"], ["seed=-1"]),
    (["name=a/b"], ["a file name"]),
    (["report.metric=test/acc"], ["type:    report.metric=test/accuracy"]),
    (["loss=3"], ["loss=3", "label_smoothing, l1"]),
    (["callbacks.gradcam=null"], ["type:    ~callbacks.gradcam"]),
    (["callbacks.gradcam.method=gradcan"], ["type:    callbacks.gradcam.method=gradcam"]),
    (["~optimizer.lr"], ["optimizer.lr is not set"]),
    (["data=image_folder"], ["data.root is not set", "type:    data.root=DIR"]),
    (["data.root='${nowhere.x}'"], ["data.root=${nowhere.x}", "nowhere.x"]),
    # keys that are not the user's
    (["+trainer.logger=true"], ["the group `logger` sets it"]),
    (["trainer.fast_dev_run=true"], ["experiment=smoke"]),
    (["model.num_classes=7"], ["the number of classes of the data"]),
    # keys against keys
    (["optimizer.nesterov=true", "optimizer.momentum=0"], ["momentum above 0", "type:    optimizer.momentum=0.9"]),
    (["optimizer.nesterov=true", "+optimizer.dampening=0.1"], ["dampening of 0"]),
    (["model.ghost_size=256"], ["model.ghost_size=256 with data.batch_size=64", "type:    model.ghost_size=32"]),
    (["trainer.sync_batchnorm=true"], ["model.ghost_size=32", "model=resnet18"]),
    (["data.image_size=8"], ["16 or more"]),
    (["data=cifar10", "data.image_size=64"], ["CIFAR pictures are used as published"]),
    (["data.source.image_size=64"], ["data.source.image_size=64 with data.image_size=32"]),
    (["callbacks.gradcam.layers=[layer4,layer5]"], ["no layer5", "layer1, layer2, layer3, layer4"]),
    (["callbacks.misclassified.layer=fc"], ["callbacks.misclassified.layer=fc: no fc"]),
    (["scheduler=cosine", "trainer.max_epochs=1"], ["scheduler.warmup_epochs=1.0 with trainer.max_epochs=1"]),
    (["+trainer.check_val_every_n_epoch=9"], ["trainer.check_val_every_n_epoch", "validation ends every epoch"]),
    (["trainer=cpu", "trainer.precision=16-mixed"], ["bf16-mixed on a CPU"]),
    (["trainer.benchmark=true", "trainer.deterministic=true"], ["trainer.deterministic=false"]),
    (["report.metric=val/loss", "report.target=3"], ["report.target=3 with report.metric=val/loss", "an accuracy"]),
    (["data.root=pictures"], ["reads no folder", "data=image_folder data.root=pictures"]),
    (["data=image_folder", "data.root=nowhere"], ["there is no folder nowhere", "train/<class>"]),
    (["data=cifar10", "data.root=null"], ["data.root=null", "type:    data.root=data"]),
    (["experiment=assignment", "optimizer.lr=0.5"], ["no effect", "scheduler.max_lr=${optimizer.lr}"]),
    (["scheduler.cycle_momentum=true", "optimizer.momentum=0.8"], ["no effect", "scheduler.cycle_momentum=false"]),
    (["experiment=assignment", "model=resnet18"], ["model.ghost_size=64: no such key", "type:    ~model.ghost_size"]),
    # sweeps
    (["-m", "seed=0,0"], ["the runs seed=0 and seed=0 are the same"]),
    (["-m", "name=a,b"], ["differ in more than the name"]),
    (["-m", "seed=range(3,3)"], ["a sweep of at least one run"]),
    (["-m", "optimizer=sgd,adamw", "optimizer.nesterov=true"], ["(in optimizer=adamw,seed=0)"]),
    (["-m", "optimizer.lr=0.1,0.2", "scheduler.max_lr=0.1"], ["optimizer.lr=0.2 has no effect", "(in lr=0.2,seed=0)"]),
    (["-m", "trainer.devices=2", "trainer.strategy=ddp", "seed=0,1"], ["type:    trainer.strategy=ddp_fork"]),
    (["-m", "model=resnet18,resnet19"], ["model=resnet19: no such option"]),
    # targets (the attacks are in test_targets.py)
    (["model._target_=os.system"], ["model._target_=os.system", "torch.nn"]),
    (["optimizer._target_=torch.optim.SDG"], ["type:    optimizer._target_=torch.optim.SGD"]),
    (["optimizer._target_=torch.optim.Adam"], ["optimizer.momentum is no argument of torch.optim.Adam"]),
    (["model._target_=torch.optim.SGD"], ["belongs in optimizer"]),
    (["+callbacks.mine.period=3"], ["callbacks.mine has no _target_"]),
    (["allow_targets=[subprocess]"], ["let a config call anything"]),
    # augmentation, which is built
    (["augmentation.train.crop.height=20"], ["makes pictures 32 x 20"]),
    (["+augmentation.train.crop.hight=32"], ["augmentation.train.crop.hight is no argument", "height"]),
    (["augmentation.train.pad.padding=much"], ["augmentation.train.pad.padding=much", "integer"]),
    (["+augmentation.train.flip._target_=albumentations.HorizontalFlop"], ["albumentations.HorizontalFlip"]),
    (["~augmentation.train.normalize"], ["augmentation.train.normalize"]),
]


@pytest.mark.parametrize(("words", "expected"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_a_mistake_is_named_with_a_way_out_and_nothing_is_created(command, words, expected):
    code, out, err = command(*words)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    assert err.count("allowed: ") == err.count("type: ") >= 1
    for text in expected:
        assert text in err
    assert list(Path.cwd().iterdir()) == []


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
