import timeit,sys
sys.path.insert(0,'.')
from tests.benchmarks import wrap as w
from tracker import TokenUsage
from tracker.usage import new_id
from tracker.sources.answers import read
from tracker.sources.usage import usage_of
from tracker.recording.capture.state import CallState
t=w._Unwritten(database_url="postgresql://u@127.0.0.1/db")
r=w._client().chat.completions.create(model="gpt-4.1",messages=w._ASK)
a=read(r)
def m(name,f,n=4000):
    best=min(timeit.repeat(f,number=n,repeat=7))/n*1e6
    print(f"{name:20s} {best:6.2f} us")
m("read",lambda: read(r))
m("usage_of",lambda: usage_of(a,{"processing_time":3,"model":"gpt-4.1","id":new_id()}))
m("TokenUsage",lambda: TokenUsage(model="m",input_tokens=3,output_tokens=4))
m("new_id",new_id)
m("CallState",lambda: CallState(t,{"model":"gpt-4.1"},source="client"))
def call():
    s=CallState(t,{"model":"gpt-4.1"},source="client"); s.set_response(r); s.finish()
m("state whole",call)
import cProfile,pstats
p=cProfile.Profile(); p.enable()
for _ in range(5000): call()
p.disable()
s=pstats.Stats(p)
rows=sorted(((v[2],v[1],v[3],k) for k,v in s.stats.items()),reverse=True,key=lambda r:r[0])
for tt,n,ct,k in rows[:45]: print(f"{tt/5000*1e6:7.2f} own {ct/5000*1e6:7.2f} cum {n/5000:5.1f}x {k[0].split('main/')[-1]}:{k[1]} {k[2]}")
