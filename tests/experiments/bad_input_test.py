"""Bad input: one line that names flag, value and what is allowed; exit 2."""

import sys

import pytest
from absl import app, flags

from experiments import common, distill


def attempt(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
  """Runs the binary in this process; returns exit code and stderr."""
  monkeypatch.setattr(sys, 'argv', ['distill', *arguments])
  monkeypatch.setattr(app, 'usage', lambda *_, **__: None)
  try:
    with pytest.raises(SystemExit) as stop, common.errors():
      app.run(distill.main, flags_parser=common.parse)
  finally:
    for name in flags.FLAGS:
      flags.FLAGS[name].unparse()  # back to its default
  captured = capsys.readouterr()
  return stop.value.code, captured.err


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['--dataset=digit'], ['--dataset=digit:', 'digits']),
    (['--teacher=resnet21'], ['--teacher=resnet21:', 'resnet20', 'mlp_stu']),
    (['--student=cnn'], ['--student=cnn:', 'cnn_student']),
    (['--method=kd,foo'], ['--method=foo:', 'kd', 'rkd', 'fitnets']),
    (['--method=kd,kd'], ['--method=kd,kd:', 'twice']),
    (
      ['--method=fitnets', '--hint_student=stage9'],
      ['--hint_student=stage9:', 'stage1', 'embedding'],
    ),
    (
      ['--method=hint', '--hint_teacher=conv'],
      ['--hint_teacher=conv:', 'stage1', 'stage2'],
    ),
    (['--weights=soft'], ['--weights=soft:', 'NAME=VALUE']),
    (['--weights=soft=-1'], ['--weights=soft=-1:', '0 or more']),
    (['--weights=dkd=1'], ['--weights=dkd:', 'labels', 'soft']),
    (['--temperature=0'], ['--temperature=0.0:', 'above 0']),
    (['--temperature=nan'], ['--temperature=nan:', 'above 0']),
    (['--alpha=1.5'], ['--alpha=1.5:', 'within 0 and 1']),
    (['--batch_size=60'], ['--batch_size=60:', 'multiple of the 8 devices']),
    (['--transfer_examples=1201'], ['--transfer_examples=1201:', '1200']),
    (['--devices=3'], ['--devices=3:', 'must be 8', 'cpu']),
    (['--devices=0'], ['--devices=0', 'positive']),
    (['--seeds=0'], ['--seeds=0:', '1 or more']),
    (['--epochs=one'], ['--epochs=one']),
    (['--nosuchflag=1'], ['nosuchflag']),
    (['positional'], ['positional']),
    (['--resume'], ['--resume', '--workdir']),
    (['--teacher_checkpoint=/nowhere'], ['--teacher_checkpoint=/nowhere:']),
    (['--dataset=mnist'], ['--dataset=mnist:', 'tfds build mnist']),
    (['--measures=f1'], ['--measures=f1:', 'macro_f1']),
    (['--measures=class_accuracy'], ['--measures=class_accuracy:', 'first']),
    (['--augmentation=crop'], ['--augmentation=crop:', 'pad_crop_flip']),
    (['--optimizer=adagrad'], ['--optimizer=adagrad:', 'adam']),
    (['--precision=int8'], ['--precision=int8:', 'bfloat16']),
    (['--set=beta=2'], ['--set=beta=2:', 'METHOD.NAME=VALUE']),
    (['--set=dkd.beta=2'], ['--set=dkd.beta=2:', 'kd']),
    (
      ['--method=dkd', '--set=dkd.bta=2'],
      ['--set=dkd.bta=2:', 'did you mean beta?', 'temperature'],
    ),
    (
      ['--method=dkd', '--set=dkd.temperature=-1'],
      ['--set=dkd.temperature=-1:', 'above 0'],
    ),
    (
      ['--method=dkd,at', '--set=at.p=2,dkd.beta=two'],
      ['--set=dkd.beta=two:', 'beta must be a number 0 or above'],
    ),
    (
      ['--method=dkd', '--set=dkd.beta=-1'],
      ['--set=dkd.beta=-1:', 'beta must be 0 or above'],
    ),
    (
      ['--method=fitnets', '--epochs=3', '--hint_epochs=3'],
      ['--hint_epochs=3:', 'epochs=3'],
    ),
    (['--warmup_epochs=-1'], ['--warmup_epochs=-1.0:', '0 or more']),
    (
      ['--warmup_epochs=3', '--epochs=3', '--teacher_epochs=4'],
      ['--warmup_epochs=3.0:', 'below 3', 'the distilled run'],
    ),
    (
      ['--method=fitnets', '--warmup_epochs=1.5', '--epochs=5'],
      ['--warmup_epochs=1.5:', 'below 1', 'the hint run'],
    ),
    (
      ['--teacher_warmup_epochs=2', '--epochs=9', '--teacher_epochs=2'],
      ['--teacher_warmup_epochs=2.0:', 'below 2', 'the teacher run'],
    ),
    (['--accumulate=0'], ['--accumulate=0:', '1 or more']),
    (['--ema=1'], ['--ema=1.0:', '0 or more, below 1']),
    (
      ['--teacher_batch_size=60'],
      ['--teacher_batch_size=60:', 'multiple of the 8 devices'],
    ),
    (
      ['--teacher_learning_rate=0'],
      ['--teacher_learning_rate=0.0:', 'above 0'],
    ),
    (['--teacher_optimizer=adan'], ['--teacher_optimizer=adan:', 'adam']),
    (['--teacher_examples=1201'], ['--teacher_examples=1201:', '1200']),
    (['--student_checkpoint=/nowhere'], ['--student_checkpoint=/nowhere:']),
    (['--teacher_batches=0'], ['--teacher_batches=0:', '1 or more']),
    (
      ['--teacher_cache_dir=somewhere'],
      ['--teacher_cache_dir=somewhere:', 'memory_map'],
    ),
  ],
)
def test_one_line_and_exit_code_2(
  arguments, words, monkeypatch, capsys, tmp_path
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
  code, errors = attempt(monkeypatch, capsys, *arguments)
  assert code == 2
  assert len(errors.splitlines()) == 1, errors
  for word in words:
    assert word in errors
  assert not (tmp_path / 'runs').exists()  # nothing is left behind


def test_workdir_of_other_settings_is_left_alone(monkeypatch, capsys, tmp_path):
  workdir = tmp_path / 'run'
  workdir.mkdir()
  settings = workdir / 'settings.json'
  settings.write_text('{"program": "distill", "epochs": 3}\n')
  code, errors = attempt(
    monkeypatch, capsys, f'--workdir={workdir}', '--epochs=4', '--resume'
  )
  assert code == 2
  assert f'--workdir={workdir}:' in errors
  assert len(errors.splitlines()) == 1
  assert settings.read_text() == '{"program": "distill", "epochs": 3}\n'
  assert [path.name for path in workdir.iterdir()] == ['settings.json']


def test_divergence_names_term_and_step(monkeypatch, capsys, tmp_path):
  flags_ = ['--learning_rate=1e30', '--schedule=constant', '--epochs=3']
  code, errors = attempt(
    monkeypatch, capsys, *flags_, f'--workdir={tmp_path / "run"}'
  )
  assert code == 2
  (line,) = errors.splitlines()
  assert line.startswith('error: labels became')
  assert 'at step' in line
